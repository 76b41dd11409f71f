// y[i] = f(x[i]): an operator includes this and defines f; p0 and p1 are its parameters, `kind` a choice made when the pipeline is built.
layout(local_size_x = 256) in;
layout(constant_id = 0) const uint axes = 8;
layout(constant_id = 1) const uint kind = 0;
#include "common/functions.glsl"
#include "common/strided.glsl"
#include "common/unary_params.h"

float f(float x);

void main() {
    const uint i = flat_index();
    if (i >= n) return;
    ORR_WALK1(i, axes, from, stride_x)
    y.v[i] = f(x.v[from]);
}
