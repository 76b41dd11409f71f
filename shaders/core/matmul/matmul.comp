// Device half of plugins/core/ops/matmul/matmul_vulkan.cpp
// y[.., m, n] = scale sum_k a[.., m, k] b[.., k, n]
// A workgroup computes 64 by 64 of one matrix of the batch, 16 of k at a time through shared memory; an invocation 4 by 4. The sum of an element
// runs over k in order.
#version 460
#extension GL_GOOGLE_include_directive : require
#define ORR_GROUP 256
layout(local_size_x = ORR_GROUP) in;
#include "common/memory.glsl"
#include "core/matmul/params.h"

const uint SIDE = 64, DEPTH = 16, PITCH = SIDE / 4 + 1;  // PITCH in vec4
shared vec4 as[DEPTH * PITCH];
shared vec4 bs[DEPTH * PITCH];

// Neighbouring invocations take neighbouring elements along the axis that is contiguous.
uvec2 place(uint slot, bool k_first) { return k_first ? uvec2(slot % DEPTH, slot / DEPTH) : uvec2(slot / SIDE, slot % SIDE); }

void main() {
    const uint rows = (m + SIDE - 1u) / SIDE, columns = (n + SIDE - 1u) / SIDE;
    const uint group = gl_WorkGroupID.y * gl_NumWorkGroups.x + gl_WorkGroupID.x;
    const uint batch = group / (rows * columns), tile = group % (rows * columns);
    if (batch >= extent0 * extent1 * extent2 * extent3) return;
    const uint first_m = tile / columns * SIDE, first_n = tile % columns * SIDE;
    const uvec4 at = uvec4(batch % extent0, batch / extent0 % extent1, batch / (extent0 * extent1) % extent2, batch / (extent0 * extent1 * extent2));
    const uint from_a = at.x * a_batch0 + at.y * a_batch1 + at.z * a_batch2 + at.w * a_batch3;
    const uint from_b = at.x * b_batch0 + at.y * b_batch1 + at.z * b_batch2 + at.w * b_batch3;
    const uint tx = gl_LocalInvocationID.x % 16u, ty = gl_LocalInvocationID.x / 16u;
    vec4 acc[4];
    [[unroll]] for (uint i = 0; i < 4u; i++) acc[i] = vec4(0);
    for (uint from = 0; from < k; from += DEPTH) {
        barrier();
        [[unroll]] for (uint i = 0; i < SIDE * DEPTH / ORR_GROUP; i++) {
            const uint slot = i * ORR_GROUP + gl_LocalInvocationID.x;
            const uvec2 pa = place(slot, a_col == 1u), pb = place(slot, b_k == 1u);
            const bool in_a = from + pa.x < k && first_m + pa.y < m, in_b = from + pb.x < k && first_n + pb.y < n;
            as[pa.x * PITCH + pa.y / 4u][pa.y & 3u] = in_a ? a.v[from_a + (first_m + pa.y) * a_row + (from + pa.x) * a_col] : 0.0;
            bs[pb.x * PITCH + pb.y / 4u][pb.y & 3u] = in_b ? b.v[from_b + (first_n + pb.y) * b_n + (from + pb.x) * b_k] : 0.0;
        }
        barrier();
        for (uint c = 0; c < DEPTH; c++) {
            const vec4 va = as[c * PITCH + ty], vb = bs[c * PITCH + tx];
            [[unroll]] for (uint i = 0; i < 4u; i++) acc[i] = fma(vec4(va[i]), vb, acc[i]);
        }
    }
    [[unroll]] for (uint i = 0; i < 4u; i++)
        [[unroll]] for (uint j = 0; j < 4u; j++) {
            const uint r = first_m + ty * 4u + i, c = first_n + tx * 4u + j;
            if (r < m && c < n) y.v[(batch * m + r) * n + c] = scale * acc[i][j];
        }
}
