// Device half of plugins/core/ops/gather/gather_vulkan.cpp
// y[o, j, k] = x[o, indices[j], k], 0 where an index lies outside, which fails the run; elements of ORR_UNIT bytes, bits as they are.
#version 460
#extension GL_GOOGLE_include_directive : require
layout(local_size_x = 256) in;
layout(constant_id = 0) const bool wide = false;  // indices are i64
#include "common/indices.glsl"
#include "common/strided.glsl"
#include "core/gather/params.h"

void main() {
    const uint i = flat_index();
    if (i >= n) return;
    const uint row = i / inner, at = load_index(indices, row % count, wide, extent);
    if (at != 0xffffffffu) {
        Unit(y).v[i] = Unit(x).v[(row / count * extent + at) * inner + i % inner];
        return;
    }
    Unit(y).v[i] = ORR_ZERO;
    if (i % inner == 0u && row < count) tell_index(fault, indices, row, 1u, wide, extent);
}
