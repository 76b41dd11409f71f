#include "common/params.h"
ORR_PARAMS_BEGIN(RopeParams)
    ORR_POINTER(F32) x;
    ORR_POINTER(F32) y;
    ORR_POINTER(I32) positions;
    ORR_POINTER(F32) freq;
    ORR_POINTER(F32) long_freq;                    // used when a position + 1 exceeds switch_length
    ORR_UINT B, T, H, D, pairs;
    ORR_UINT x_batch, x_token, x_head;             // elements between neighbours of x
    ORR_UINT position_batch, position_token;       // 4-byte words between neighbours of positions
    ORR_UINT batch_groups;                         // workgroups of one sequence
    ORR_INT switch_length;                         // 0: never
    ORR_UINT interleaved;
    ORR_FLOAT scale, long_scale;
ORR_PARAMS_END
