// Device half of plugins/core/ops/argmax/argmax_vulkan.cpp
// y = the place of the largest element of each line, the first of equals; a NaN counts as largest. One workgroup a line.
#version 460
#extension GL_GOOGLE_include_directive : require
#define ORR_GROUP 256
layout(local_size_x = ORR_GROUP) in;
layout(constant_id = 0) const uint axes = 7;
layout(constant_id = 1) const uint type = 1;  // ORR_TYPE_*
#include "common/order.glsl"
#include "common/strided.glsl"
#include "common/wide.glsl"
#include "core/argmax/params.h"

uvec2 key_at(uint i) {
    if (type == ORR_F32) return key_of_f32(U32(x).v[i]);
    return key_of_wide(type == ORR_I32 ? wide_of(I32(x).v[i]) : Addresses(x).v[i]);
}

void main() {
    const uint line = gl_WorkGroupID.y * gl_NumWorkGroups.x + gl_WorkGroupID.x;
    if (line >= lines) return;
    ORR_WALK1(line, axes, from, stride_x)
    uvec2 best = uvec2(0);
    uint at = ORR_NOWHERE;
    for (uint i = gl_LocalInvocationID.x; i < n; i += ORR_GROUP) {
        const uvec2 key = key_at(from + i * step_x);
        if (is_before(key, i, best, at)) {
            best = key;
            at = i;
        }
    }
    group_first(best, at);
    if (gl_LocalInvocationID.x == 0) y.v[line] = int(at);
}
