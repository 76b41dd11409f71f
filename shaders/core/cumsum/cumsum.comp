// Device half of plugins/core/ops/cumsum/cumsum_vulkan.cpp
// y[t] = x[0] + … + x[t] along an axis. One workgroup a line: each invocation sums a stretch, then goes through it again from the
// sum of those before. f32 in two parts (48 bits), rounded at each output; i32, i64 wrap.
#version 460
#extension GL_GOOGLE_include_directive : require
#define ORR_GROUP 64
layout(local_size_x = ORR_GROUP) in;
layout(constant_id = 0) const uint axes = 7;
layout(constant_id = 1) const uint type = 1;  // ORR_TYPE_*
#include "common/exact.glsl"
#include "common/strided.glsl"
#include "common/wide.glsl"
#include "core/cumsum/params.h"

shared uvec2 sums_[ORR_GROUP];

// Bits of a running sum: two floats, or an integer.
uvec2 plus(uvec2 sum, uint at) {
    if (type == ORR_F32) return floatBitsToUint(exact_add(uintBitsToFloat(sum), F32(x).v[at]));
    return wide_add(sum, type == ORR_I32 ? wide_of(I32(x).v[at]) : Addresses(x).v[at]);
}
uvec2 plus(uvec2 a, uvec2 b) { return type == ORR_F32 ? floatBitsToUint(exact_add(uintBitsToFloat(a), uintBitsToFloat(b))) : wide_add(a, b); }

void main() {
    const uint line = gl_WorkGroupID.y * gl_NumWorkGroups.x + gl_WorkGroupID.x;
    if (line >= lines) return;
    ORR_WALK2(line, axes, from, stride_x, to, stride_y)
    const uint stretch = (n + ORR_GROUP - 1) / ORR_GROUP, first = min(n, gl_LocalInvocationID.x * stretch), end = min(n, first + stretch);
    uvec2 sum = uvec2(0);
    for (uint i = first; i < end; i++) sum = plus(sum, from + i * step_x);
    sums_[gl_LocalInvocationID.x] = sum;
    barrier();
    sum = uvec2(0);
    for (uint k = 0; k < gl_LocalInvocationID.x; k++) sum = plus(sum, sums_[k]);
    for (uint i = first; i < end; i++) {
        sum = plus(sum, from + i * step_x);
        if (type == ORR_F32 || type == ORR_I32) U32(y).v[to + i * step_y] = sum.x;
        else Addresses(y).v[to + i * step_y] = sum;
    }
}
