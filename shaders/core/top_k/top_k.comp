// Device half of plugins/core/ops/top_k/top_k_vulkan.cpp
// The k largest elements of each row, largest first; of equals the first; NaN counts as largest. One workgroup a row: k times the
// first of those behind the last one found.
#version 460
#extension GL_GOOGLE_include_directive : require
#define ORR_GROUP 256
layout(local_size_x = ORR_GROUP) in;
#include "common/order.glsl"
#include "common/memory.glsl"
#include "core/top_k/params.h"

void main() {
    const uint row = gl_WorkGroupID.y * gl_NumWorkGroups.x + gl_WorkGroupID.x;
    if (row >= rows) return;
    uvec2 last = uvec2(0);
    uint last_at = ORR_NOWHERE;
    for (uint j = 0; j < k; j++) {
        uvec2 best = uvec2(0);
        uint at = ORR_NOWHERE;
        for (uint i = gl_LocalInvocationID.x; i < n; i += ORR_GROUP) {
            const uvec2 key = key_of_f32(x.v[row * x_stride + i]);
            if ((j == 0 || is_before(last, last_at, key, i)) && is_before(key, i, best, at)) {
                best = key;
                at = i;
            }
        }
        group_first(best, at);
        last = best;
        last_at = at;
        if (gl_LocalInvocationID.x == 0) {
            values.v[row * k + j] = x.v[row * x_stride + at];
            indices.v[row * k + j] = at;
        }
    }
}
