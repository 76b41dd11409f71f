// Device half of plugins/core/ops/where/where_vulkan.cpp
// y[i] = c[i] ? a[i] : b[i] with broadcasting, elements of ORR_UNIT bytes, bits as they are.
#version 460
#extension GL_GOOGLE_include_directive : require
layout(local_size_x = 256) in;
layout(constant_id = 0) const uint axes = 6;
layout(constant_id = 1) const uint c_type = 10;  // ORR_TYPE_*
#include "common/strided.glsl"
#include "core/where/params.h"

bool holds(uint i) {
    if (c_type == ORR_BOOL) return load_byte(c, i) != 0u;
    if (c_type == ORR_I32) return U32(c).v[i] != 0u;
    if (c_type == ORR_F32) return (U32(c).v[i] & 0x7fffffffu) != 0u;
    return Addresses(c).v[i] != uvec2(0);
}

void main() {
    const uint i = flat_index();
    if (i >= n) return;
    ORR_WALK3(i, axes, at_c, stride_c, at_a, stride_a, at_b, stride_b)
    if (holds(at_c)) Unit(y).v[i] = Unit(a).v[at_a];
    else Unit(y).v[i] = Unit(b).v[at_b];
}
