// Device half of plugins/core/ops/rms_norm/rms_norm_vulkan.cpp
// y[r, i] = x[r, i] / sqrt(mean_i(x[r, i]^2) + eps) * (w[i] + weight_offset)
// One workgroup a row; sums in f32. Zhang & Sennrich 2019, arXiv:1910.07467
#version 460
#extension GL_GOOGLE_include_directive : require
#define ORR_GROUP 256
layout(local_size_x = ORR_GROUP) in;
#include "common/memory.glsl"
#include "common/reduce.glsl"
#include "core/rms_norm/params.h"

void main() {
    const uint row = gl_WorkGroupID.y * gl_NumWorkGroups.x + gl_WorkGroupID.x;
    if (row >= rows) return;
    const uint from = row * x_stride, to = row * n;
    float square = 0;
    for (uint i = gl_LocalInvocationID.x; i < n; i += ORR_GROUP) square += x.v[from + i] * x.v[from + i];
    const float r = 1.0 / sqrt(group_sum(square) / float(n) + eps);
    const bool weighted = w != uvec2(0);
    for (uint i = gl_LocalInvocationID.x; i < n; i += ORR_GROUP) y.v[to + i] = x.v[from + i] * r * (weighted ? load_float(w, i, w_type) + weight_offset : 1.0);
}
