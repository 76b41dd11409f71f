#include "common/params.h"
ORR_PARAMS_BEGIN(LayerNormParams)
    ORR_POINTER(F32) x;
    ORR_POINTER(uvec2) w;    // of type w_type; 0: ones
    ORR_POINTER(uvec2) b;    // of type b_type; 0: zeros
    ORR_POINTER(F32) y;
    ORR_UINT rows;
    ORR_UINT n;              // elements of a row
    ORR_UINT x_stride;       // elements between rows of x
    ORR_UINT w_type, b_type; // ORR_TYPE_F32, F16, BF16
    ORR_FLOAT eps;
ORR_PARAMS_END
