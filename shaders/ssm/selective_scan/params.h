#include "common/params.h"
ORR_PARAMS_BEGIN(SelectiveScanParams)
    ORR_POINTER(F32) u;
    ORR_POINTER(F32) delta;
    ORR_POINTER(F32) a;
    ORR_POINTER(F32) b;
    ORR_POINTER(F32) c;
    ORR_POINTER(uvec2) d;           // 0: none
    ORR_POINTER(uvec2) z;           // 0: none
    ORR_POINTER(uvec2) delta_bias;  // 0: none
    ORR_POINTER(uvec2) state;
    ORR_POINTER(uvec2) new_state;
    ORR_POINTER(F32) y;
    ORR_UINT batch, T, C;
    ORR_UINT u_row, delta_row, b_row, c_row, z_row;  // elements between tokens
    ORR_UINT d_type, bias_type;     // ORR_TYPE_F32, F16, BF16
ORR_PARAMS_END
