// Device half of plugins/core/ops/softmax/softmax_vulkan.cpp
// y = e^(x - max x) / sum e^(x - max x) along one axis; a line of -inf throughout gives zeros. One workgroup a line; the sum in f32.
#version 460
#extension GL_GOOGLE_include_directive : require
#define ORR_GROUP 256
layout(local_size_x = ORR_GROUP) in;
layout(constant_id = 0) const uint axes = 7;
#include "common/functions.glsl"
#include "common/reduce.glsl"
#include "common/strided.glsl"
#include "core/softmax/params.h"

void main() {
    const uint line = gl_WorkGroupID.y * gl_NumWorkGroups.x + gl_WorkGroupID.x;
    if (line >= lines) return;
    ORR_WALK2(line, axes, from, stride_x, to, stride_y)
    float most = -ORR_INF;
    for (uint i = gl_LocalInvocationID.x; i < n; i += ORR_GROUP) {
        const float v = x.v[from + i * step_x];
        most = v > most ? v : most;
    }
    most = group_max(most);
    const bool nothing = most == -ORR_INF;
    float sum = 0;
    for (uint i = gl_LocalInvocationID.x; i < n; i += ORR_GROUP) {
        const float v = x.v[from + i * step_x];
        const float e = nothing && v == most ? 0.0 : exp_f32(is_inf(most) && v == most && !nothing ? ORR_NAN : v - (nothing ? 0.0 : most));
        y.v[to + i * step_y] = e;
        sum += e;
    }
    sum = group_sum(sum);
    for (uint i = gl_LocalInvocationID.x; i < n; i += ORR_GROUP) {
        const float e = y.v[to + i * step_y];
        y.v[to + i * step_y] = sum == 0.0 ? 0.0 : is_nan(sum) ? ORR_NAN : e / sum;
    }
}
