// Device half of plugins/attention/ops/rope/rope_vulkan.cpp
// y[.., i] = x[.., i] c_i - x[.., j] s_i,  y[.., j] = x[.., j] c_i + x[.., i] s_i; elements past the pairs are copied
// An invocation turns a pair or copies up to two elements; a workgroup's lie in one sequence. Su et al. 2021, arXiv:2104.09864
#version 460
#extension GL_GOOGLE_include_directive : require
#define ORR_GROUP 256
layout(local_size_x = ORR_GROUP) in;
#include "common/memory.glsl"
#include "common/reduce.glsl"
#include "attention/rope/params.h"
#include "attention/rope/rotation.glsl"

int position(uint b, uint t) { return positions.v[b * position_batch + t * position_token]; }

void main() {
    const uint group = gl_WorkGroupID.y * gl_NumWorkGroups.x + gl_WorkGroupID.x;
    const uint b = group / batch_groups;
    if (b >= B) return;
    bool far = false;
    if (switch_length > 0) {  // the whole group agrees on b
        float most = -1;
        for (uint t = gl_LocalInvocationID.x; t < T; t += ORR_GROUP) most = max(most, float(position(b, t)));
        far = int(group_max(most)) >= switch_length;
    }
    const uint each = (D + 1) / 2;
    const uint at = (group % batch_groups) * ORR_GROUP + gl_LocalInvocationID.x;
    const uint i = at % each, h = at / each % H, t = at / each / H;
    if (t >= T) return;
    const uint from = b * x_batch + t * x_token + h * x_head, to = ((b * T + t) * H + h) * D;
    if (i >= pairs) {
        const uint d = 2 * i;
        y.v[to + d] = x.v[from + d];
        if (d + 1 < D) y.v[to + d + 1] = x.v[from + d + 1];
        return;
    }
    const uvec2 pair = pair_at(i, pairs, interleaved != 0);
    const vec2 turned = turn_pair(vec2(x.v[from + pair.x], x.v[from + pair.y]), pair_angle(position(b, t), far ? long_freq.v[i] : freq.v[i], far ? long_scale : scale));
    y.v[to + pair.x] = turned.x;
    y.v[to + pair.y] = turned.y;
}
