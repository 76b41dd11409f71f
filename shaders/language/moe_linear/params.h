#include "common/params.h"
ORR_PARAMS_BEGIN(MoeLinearParams)
    ORR_POINTER(F32) x;      // [pairs / pairs_per_row, K]
    ORR_POINTER(I32) ids;    // [pairs]
    ORR_POINTER(uvec2) w;    // packed, see common/tiles.h
    ORR_POINTER(F32) y;      // [pairs, N]
    ORR_POINTER(uvec2) fault;  // 0: none
    ORR_UINT pairs, pairs_per_row, experts, N, K;
ORR_PARAMS_END
