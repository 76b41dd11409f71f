#include "common/params.h"
ORR_PARAMS_BEGIN(SampleParams)
    ORR_POINTER(U32) logits;      // bits of f32
    ORR_POINTER(U32) parameters;  // [B, 4], bits of f32
    ORR_POINTER(U32) random;      // [B, 2]
    ORR_POINTER(I32) token;       // [B]
    ORR_POINTER(U32) work;        // parts in work.h
    ORR_UINT n, row_stride;       // logits of a row, elements between rows
    ORR_UINT chunks;              // of a row
    ORR_UINT words;               // of work, a row
    ORR_UINT sampled;             // whether there are parameters
    ORR_UINT level;               // of count and share: which digit of the key
ORR_PARAMS_END
