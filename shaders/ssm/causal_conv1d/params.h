#include "common/params.h"
ORR_PARAMS_BEGIN(CausalConv1dParams)
    ORR_POINTER(F32) x;
    ORR_POINTER(uvec2) w;          // [C, taps]
    ORR_POINTER(uvec2) bias;       // 0: none
    ORR_POINTER(uvec2) state;
    ORR_POINTER(uvec2) new_state;
    ORR_POINTER(F32) y;
    ORR_UINT B, T, C, taps;
    ORR_UINT x_batch, x_token;     // elements between neighbours of x
    ORR_UINT step;                 // tokens of an invocation
    ORR_UINT w_type, bias_type;    // ORR_TYPE_F32, F16, BF16
    ORR_UINT flags;                // 1: silu; 2: write y; 4: write new_state; 8, 16: state, new_state are rows
ORR_PARAMS_END
