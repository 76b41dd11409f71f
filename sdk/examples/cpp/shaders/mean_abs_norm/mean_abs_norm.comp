// Device half of ops/mean_abs_norm/mean_abs_norm_vulkan.cpp
// y[r, i] = x[r, i] / (mean_i(|x[r, i]|) + eps); a workgroup for each row
#version 460
#extension GL_GOOGLE_include_directive : require
#include "common/memory.glsl"
#include "params.h"
layout(local_size_x = 256) in;
shared float partial[256];

void main() {
    const uint row = gl_WorkGroupID.y * gl_NumWorkGroups.x + gl_WorkGroupID.x, lane = gl_LocalInvocationID.x;
    if (row >= rows) return;  // the whole workgroup: nobody waits at a barrier for it
    const uint from = row * x_stride, to = row * n;
    float sum = 0;
    for (uint i = lane; i < n; i += 256) sum += abs(x.v[from + i]);
    partial[lane] = sum;
    barrier();
    for (uint half_way = 128; half_way > 0; half_way /= 2) {
        if (lane < half_way) partial[lane] += partial[lane + half_way];
        barrier();
    }
    const float by = partial[0] / float(n) + eps;
    for (uint i = lane; i < n; i += 256) y.v[to + i] = x.v[from + i] / by;
}
