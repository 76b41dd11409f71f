// Rows of x as integers (product_fixed.glsl), for several rows: made once instead of in every workgroup of product_gemv.glsl. Four invocations make a block.
// Params: product_params.h; y0: [tokens, blocks, 4] words of four, then [tokens, blocks] what is told of each.
#define FIXED_GROUP 256
layout(local_size_x = FIXED_GROUP) in;
#include "common/product_fixed.glsl"

void main() {
    const uint blocks = (k + 31u) / 32u, quarter = gl_LocalInvocationID.x & 3u;
    const uint at = (gl_WorkGroupID.y * gl_NumWorkGroups.x + gl_WorkGroupID.x) * (FIXED_GROUP / 4u) + gl_LocalInvocationID.x / 4u;
    const FixedQuarter f = fixed_quarter(at / blocks, at % blocks * 32u + quarter * 8u);  // zeros past the last
    if (at >= tokens * blocks) return;
    U32x2(uvec2(y0)).v[at * 8u + quarter] = f.high;
    U32x2(uvec2(y0)).v[at * 8u + 4u + quarter] = f.low;
    if (quarter == 0u) F32x4(uvec2(y0)).v[tokens * blocks * 4u + at] = f.told;
}
