// Device half of plugins/core/common/copy_vulkan.cpp
// y[i] = x[i] between strided places, elements of ORR_UNIT bytes, bits as they are.
#version 460
#extension GL_GOOGLE_include_directive : require
layout(local_size_x = 256) in;
layout(constant_id = 0) const uint axes = 8;
#include "common/strided.glsl"
#include "core/copy/params.h"

void main() {
    const uint i = flat_index();
    if (i >= n) return;
    ORR_WALK2(i, axes, from, stride_x, to, stride_y)
    Unit(y).v[to] = Unit(x).v[from];
}
