// Device half of plugins/core/ops/l2_norm/l2_norm_vulkan.cpp
// y[r, i] = x[r, i] / max(||x[r]||, eps). One workgroup a row; the sum in f32.
#version 460
#extension GL_GOOGLE_include_directive : require
#define ORR_GROUP 256
layout(local_size_x = ORR_GROUP) in;
#include "common/memory.glsl"
#include "common/reduce.glsl"
#include "core/l2_norm/params.h"

void main() {
    const uint row = gl_WorkGroupID.y * gl_NumWorkGroups.x + gl_WorkGroupID.x;
    if (row >= rows) return;
    const uint from = row * x_stride, to = row * n;
    float square = 0;
    for (uint i = gl_LocalInvocationID.x; i < n; i += ORR_GROUP) square += x.v[from + i] * x.v[from + i];
    const float length_of_row = sqrt(group_sum(square)), by = length_of_row < eps ? eps : length_of_row;
    for (uint i = gl_LocalInvocationID.x; i < n; i += ORR_GROUP) y.v[to + i] = x.v[from + i] / by;
}
