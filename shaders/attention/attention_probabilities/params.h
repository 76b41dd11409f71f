#include "common/params.h"
ORR_PARAMS_BEGIN(AttentionProbabilitiesParams)
    ORR_POINTER(F32) q;
    ORR_POINTER(uvec2) k;     // plain: of the first element; paged: of the rows' tables
    ORR_POINTER(F32) bias;
    ORR_POINTER(U32) mask;
    ORR_POINTER(F32) y;
    ORR_UINT T, S;            // S: keys at most, and a row's length
    ORR_UINT q_batch, q_token, q_head;  // elements between neighbours, here and below
    ORR_UINT k_batch, k_token, k_head;  // of plain keys
    ORR_UINT bias_batch, bias_token, bias_head;
    ORR_UINT mask_batch;      // words, or bytes of a bool mask
    ORR_UINT mask_keys;       // keys that the mask tells of; 0: none
ORR_PARAMS_END
