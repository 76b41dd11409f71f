// Device half of plugins/core/ops/roll/roll_vulkan.cpp
// y[j] = x[(j + origin) mod extent] along each axis; elements of ORR_UNIT bytes, bits as they are.
#version 460
#extension GL_GOOGLE_include_directive : require
layout(local_size_x = 256) in;
layout(constant_id = 0) const uint axes = 8;
#include "common/strided.glsl"
#include "core/roll/params.h"

void main() {
    const uint i = flat_index();
    if (i >= n) return;
    uint from = 0, rest = i;
    for (uint k = 0; k < axes; k++) {
        uint at = rest % extent[k] + origin[k];  // below 2^32: both are below 2^31
        rest /= extent[k];
        if (at >= extent[k]) at -= extent[k];
        from += at * stride_x[k];
    }
    Unit(y).v[i] = Unit(x).v[from];
}
