// Device half of plugins/core/ops/layer_norm/layer_norm_vulkan.cpp
// y[r, i] = (x[r, i] - mean_i(x[r])) / sqrt(var_i(x[r]) + eps) * w[i] + b[i], biased variance
// One workgroup a row; mean, then squares about it, in f32. Ba et al. 2016, arXiv:1607.06450
#version 460
#extension GL_GOOGLE_include_directive : require
#define ORR_GROUP 256
layout(local_size_x = ORR_GROUP) in;
#include "common/memory.glsl"
#include "common/reduce.glsl"
#include "core/layer_norm/params.h"

void main() {
    const uint row = gl_WorkGroupID.y * gl_NumWorkGroups.x + gl_WorkGroupID.x;
    if (row >= rows) return;
    const uint from = row * x_stride, to = row * n;
    float sum = 0;
    for (uint i = gl_LocalInvocationID.x; i < n; i += ORR_GROUP) sum += x.v[from + i];
    const float mean = group_sum(sum) / float(n);
    float square = 0;
    for (uint i = gl_LocalInvocationID.x; i < n; i += ORR_GROUP) {
        const float d = x.v[from + i] - mean;
        square += d * d;
    }
    const float r = 1.0 / sqrt(group_sum(square) / float(n) + eps);
    const bool scaled = w != uvec2(0), moved = b != uvec2(0);
    for (uint i = gl_LocalInvocationID.x; i < n; i += ORR_GROUP) {
        const float d = (x.v[from + i] - mean) * r;
        y.v[to + i] = d * (scaled ? load_float(w, i, w_type) : 1.0) + (moved ? load_float(b, i, b_type) : 0.0);
    }
}
