// y[i] = f(x[i]): an operator includes this and defines f; p0 and p1 are its parameters, `kind` a choice made when the pipeline is built.
layout(local_size_x = 256) in;
layout(constant_id = 0) const uint axes = 8;
layout(constant_id = 1) const uint kind = 0;
layout(constant_id = 2) const uint quads = 0;  // 0: one element an invocation; else four, which are neighbours (1) or one value (2)
#include "common/functions.glsl"
#include "common/strided.glsl"
#include "common/unary_params.h"

float f(float x);

void main() {
    const uint i = flat_index();
    if (i >= n) return;
    ORR_WALK1(i, axes, from, stride_x)
    if (quads != 0) {
        const vec4 v = quads == 1 ? F32x4(x).v[from] : vec4(F32(x).v[from]);
        F32x4(y).v[i] = vec4(f(v.x), f(v.y), f(v.z), f(v.w));
    } else F32(y).v[i] = f(F32(x).v[from]);
}
