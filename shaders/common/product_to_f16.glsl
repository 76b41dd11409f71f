// x as products in f16 read it: rows of 32 x blocks f16, zeros past k, each four in the order 0 2 1 3 (see product_f16.glsl). Numbers that f16 does
// not hold become its largest. An invocation writes four. Params: product_params.h, y0 is the destination.
layout(local_size_x = 256) in;
#include "common/memory.glsl"
#include "common/product_params.h"

void main() {
    const uint quads = (k + 31u) / 32u * 8u, at = (gl_WorkGroupID.y * gl_NumWorkGroups.x + gl_WorkGroupID.x) * 256u + gl_LocalInvocationID.x;
    const uint t = at / quads, c = at % quads * 4u;
    if (t >= tokens) return;
    vec4 v = vec4(0);
    [[unroll]] for (uint i = 0; i < 4u; i++)
        if (c + i < k) v[i] = x.v[t * x_stride + c + i];
    v = mix(v, sign(v) * 65504.0, greaterThan(abs(v), vec4(65504.0)));  // not what is NaN
    const uvec2 w = uvec2(packHalf2x16(v.xz), packHalf2x16(v.yw));
    U32(uvec2(y0)).v[at * 2u] = w.x;
    U32(uvec2(y0)).v[at * 2u + 1u] = w.y;
}
