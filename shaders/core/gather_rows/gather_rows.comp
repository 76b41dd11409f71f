// Device half of plugins/core/ops/gather_rows/gather_rows_vulkan.cpp
// y[b, …] = x[b, indices[b], …], 0 where an index lies outside, which fails the run; elements of ORR_UNIT bytes, bits as they are.
#version 460
#extension GL_GOOGLE_include_directive : require
layout(local_size_x = 256) in;
layout(constant_id = 0) const uint axes = 7;
layout(constant_id = 1) const bool wide = false;  // indices are i64
#include "common/indices.glsl"
#include "common/strided.glsl"
#include "core/gather_rows/params.h"

void main() {
    const uint i = flat_index();
    if (i >= n) return;
    const uint b = i / row_elems, t = load_index(indices, b * step_indices, wide, rows_x);
    ORR_WALK1(i % row_elems, axes, from, stride_x)
    if (t != 0xffffffffu) {
        Unit(y).v[i] = Unit(x).v[b * batch_x + t * row_x + from];
        return;
    }
    Unit(y).v[i] = ORR_ZERO;
    if (i % row_elems == 0u) tell_index(fault, indices, b, step_indices, wide, rows_x);
}
