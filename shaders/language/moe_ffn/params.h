#include "common/params.h"
ORR_PARAMS_BEGIN(MoeFfnParams)
    ORR_POINTER(F32) x;       // [tokens, E]
    ORR_POINTER(I32) ids;     // [tokens, top_k]
    ORR_POINTER(F32) weights;
    ORR_POINTER(uvec2) gate;  // packed, see common/tiles.h
    ORR_POINTER(uvec2) up;
    ORR_POINTER(uvec2) down;
    ORR_POINTER(F32) h;       // [tokens, top_k, F]
    ORR_POINTER(F32) y;
    ORR_POINTER(F32) partial;  // grouped: [tokens, top_k, E]
    ORR_POINTER(U32) tiles;    // grouped: number of tiles, then expert, first place and count of each
    ORR_POINTER(U32) order;    // grouped: pairs of token and choice, sorted by expert
    ORR_POINTER(uvec2) fault;  // 0: none
    ORR_UINT tokens, top_k, experts, E, F;
ORR_PARAMS_END
