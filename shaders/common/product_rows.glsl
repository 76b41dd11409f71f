// A row of x as products read it, normalised where NORM says so. HALVES: 64 x pairs of blocks f16, zeros past k, each four in the order 0 2 1 3
// (product_halves.glsl); numbers that f16 does not hold become its largest. Else k f32. A workgroup takes one row. Params: product_params.h, y0 is the
// destination.
#define ORR_GROUP 256
layout(local_size_x = ORR_GROUP) in;
#include "common/product.glsl"
#include "common/reduce.glsl"
layout(constant_id = 8) const uint HALVES = 1;

void main() {
    const uint t = gl_WorkGroupID.y * gl_NumWorkGroups.x + gl_WorkGroupID.x, from = t * x_stride;
    if (t >= tokens) return;
    float r = 1;
    if (NORM != 0u) {
        float square = 0;
        for (uint c = gl_LocalInvocationID.x; c < k; c += ORR_GROUP) square += x.v[from + c] * x.v[from + c];
        r = 1.0 / sqrt(group_sum(square) / float(k) + EPS);
    }
    if (HALVES == 0u) {
        for (uint c = gl_LocalInvocationID.x; c < k; c += ORR_GROUP) y0.v[t * k + c] = x.v[from + c] * r * (NORM != 0u ? norm_weight(c) : 1.0);
        return;
    }
    const uint quads = (k + 63u) / 64u * 16u;
    for (uint quad = gl_LocalInvocationID.x; quad < quads; quad += ORR_GROUP) {
        vec4 v = vec4(0);
        [[unroll]] for (uint i = 0; i < 4u; i++) {
            const uint c = quad * 4u + i;
            if (c < k) v[i] = x.v[from + c] * r * (NORM != 0u ? norm_weight(c) : 1.0);
        }
        v = mix(v, sign(v) * 65504.0, greaterThan(abs(v), vec4(65504.0)));  // not what is NaN
        const uint at = (t * quads + quad) * 2u;
        U32(uvec2(y0)).v[at] = packHalf2x16(v.xz);
        U32(uvec2(y0)).v[at + 1u] = packHalf2x16(v.yw);
    }
}
