// Device half of plugins/core/ops/compare/compare_vulkan.cpp
// y[i] = a[i] ? b[i] with broadcasting; with a NaN only `ne` holds.
#version 460
#extension GL_GOOGLE_include_directive : require
#define ORR_UNIT 1
layout(local_size_x = 256) in;
layout(constant_id = 0) const uint axes = 8;
layout(constant_id = 1) const uint type = 1;      // ORR_TYPE_*
layout(constant_id = 2) const uint relation = 0;  // eq, ne, lt, le, gt, ge
#include "common/functions.glsl"
#include "common/strided.glsl"
#include "common/wide.glsl"
#include "common/binary_params.h"

bool stands(bool less, bool equal) {
    switch (relation) {
        case 0: return equal;
        case 1: return !equal;
        case 2: return less;
        case 3: return less || equal;
        case 4: return !(less || equal);
    }
    return !less;
}

void main() {
    const uint i = flat_index();
    if (i >= n) return;
    ORR_WALK2(i, axes, at_a, stride_a, at_b, stride_b)
    bool holds;
    if (type == ORR_F32) {
        const float l = F32(a).v[at_a], r = F32(b).v[at_b];
        holds = is_nan(l) || is_nan(r) ? relation == 1 : stands(l < r, l == r);
    } else if (type == ORR_I32) {
        const int l = I32(a).v[at_a], r = I32(b).v[at_b];
        holds = stands(l < r, l == r);
    } else if (type == ORR_BOOL) {
        const uint l = load_byte(a, at_a), r = load_byte(b, at_b);
        holds = stands(l < r, l == r);
    } else {
        const uvec2 l = Addresses(a).v[at_a], r = Addresses(b).v[at_b];
        holds = stands(wide_less(l, r), l == r);
    }
    Unit(y).v[i] = uint8_t(holds ? 1 : 0);
}
