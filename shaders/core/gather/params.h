#include "common/params.h"
ORR_PARAMS_BEGIN(GatherParams)
    ORR_POINTER(uvec2) x;        // [outer, extent, inner], contiguous
    ORR_POINTER(uvec2) indices;  // [count], contiguous
    ORR_POINTER(uvec2) y;        // [outer, count, inner], contiguous
    ORR_POINTER(uvec2) fault;    // 0: none
    ORR_UINT n;                  // elements of y
    ORR_UINT inner, count, extent;
ORR_PARAMS_END
