// Device half of ops/@name@/@name@_vulkan.cpp
// y[r, i] = w[i] * softsign(scale * x[r, i]), softsign(v) = v / (1 + |v|); one invocation for each element
#version 460
#extension GL_GOOGLE_include_directive : require
#include "common/memory.glsl"
#include "params.h"
layout(local_size_x = 256) in;

void main() {
    const uint index = (gl_WorkGroupID.y * gl_NumWorkGroups.x + gl_WorkGroupID.x) * gl_WorkGroupSize.x + gl_LocalInvocationID.x;
    if (index >= count) return;
    const uint row = index / n, i = index % n;
    const float value = scale * x.v[row * x_stride + i];
    y.v[index] = w.v[i] * (value / (1 + abs(value)));
}
