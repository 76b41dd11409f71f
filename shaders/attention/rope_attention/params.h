#include "common/params.h"
ORR_PARAMS_BEGIN(RopeAttentionAppendParams)
    ORR_POINTER(F32) q;
    ORR_POINTER(F32) k;
    ORR_POINTER(F32) v;
    ORR_POINTER(F32) turned;                  // [B, T, H, D]
    ORR_POINTER(PagedRows) k_state;
    ORR_POINTER(PagedRows) v_state;
    ORR_POINTER(I32) positions;
    ORR_POINTER(F32) freq;
    ORR_POINTER(F32) long_freq;               // used when a position + 1 exceeds SWITCH_LENGTH
    ORR_UINT B, T;
    ORR_UINT head_counts;                     // H, and Hkv << 16: self-tests have fewer, and the same constants
    ORR_UINT q_batch, q_token, q_head;        // elements between neighbours, here and below
    ORR_UINT k_batch, k_token, k_head;
    ORR_UINT v_batch, v_token, v_head;
    ORR_UINT position_batch, position_token;  // 4-byte words
ORR_PARAMS_END
