// Device half of plugins/language/ops/moe_ffn/moe_ffn_vulkan.cpp
// y[t] = sum_j weights[t, j] partial[t, j], without ids outside the experts: sort.comp tells of them
#version 460
#extension GL_GOOGLE_include_directive : require
layout(local_size_x = 256) in;
#include "common/memory.glsl"
#include "language/moe_ffn/params.h"

void main() {
    const uint at = (gl_WorkGroupID.y * gl_NumWorkGroups.x + gl_WorkGroupID.x) * 256 + gl_LocalInvocationID.x, t = at / E;
    if (t >= tokens) return;
    float sum = 0;
    for (uint j = 0; j < top_k; j++) {
        const uint pair = t * top_k + j;
        if (uint(ids.v[pair]) < experts) sum += weights.v[pair] * partial.v[pair * E + at % E];
    }
    y.v[at] = sum;
}
