// Push constants of the products: up to three weights for one x. See product_gemv.glsl.
#include "common/params.h"
ORR_PARAMS_BEGIN(ProductParams)
    ORR_POINTER(uvec2) w0;
    ORR_POINTER(uvec2) w1;
    ORR_POINTER(uvec2) w2;
    ORR_POINTER(uvec2) bias0;  // [Ni], 0: none
    ORR_POINTER(uvec2) bias1;
    ORR_POINTER(uvec2) bias2;
    ORR_POINTER(F32) y0;       // [tokens, Ni]
    ORR_POINTER(F32) y1;
    ORR_POINTER(F32) y2;
    ORR_POINTER(F32) x;        // [tokens, k]; products in f16: [.., 32 x blocks] f16, see product_f16.glsl
    ORR_POINTER(uvec2) residual;  // [tokens, N0], 0: none
    ORR_POINTER(uvec2) norm;   // [k], weights of the norm of x where there is one; 0: ones. product_direct_tile.glsl: counters of split tiles, zeros
    ORR_UINT n0, n1, n2;       // rows of the weights; raw weights: n1, n2 are elements between rows and between columns
    ORR_UINT k;
    ORR_UINT tokens;
    ORR_UINT x_stride;         // elements between rows; product_direct_tile.glsl: where partial sums lie behind x, in units of 256 bytes
    ORR_UINT bias_types;       // ORR_TYPE_* of bias i in bits 8i
    ORR_UINT residual_stride;
ORR_PARAMS_END
