// Heads of one token are neighbours; the other distances are elements.
#include "common/params.h"
ORR_PARAMS_BEGIN(RopeAttentionSplitParams)
    ORR_POINTER(F32) q;
    ORR_POINTER(F32) new_k;      // the step's own keys and values
    ORR_POINTER(F32) new_v;
    ORR_POINTER(uvec2) k;        // of the states' tables
    ORR_POINTER(uvec2) v;
    ORR_POINTER(F32) y;
    ORR_POINTER(uvec2) work;     // as in attention's params.h, like `arrived`
    ORR_POINTER(U32) arrived;
    ORR_POINTER(I32) positions;
    ORR_POINTER(F32) freq;
    ORR_POINTER(F32) long_freq;
    ORR_UINT T, S;               // S: keys at most
    ORR_UINT q_batch, q_token;
    ORR_UINT k_batch, k_token;
    ORR_UINT v_batch, v_token;
    ORR_UINT position_batch, position_token;  // words
ORR_PARAMS_END
