// Device half of plugins/attention/ops/attention/attention_vulkan.cpp
// merge.comp with subgroups: each finds the largest score and the weights' sum by itself; one barrier.
#version 460
#extension GL_GOOGLE_include_directive : require
#extension GL_KHR_shader_subgroup_basic : require
#extension GL_KHR_shader_subgroup_shuffle : require
layout(local_size_x = 256) in;
#include "attention/attention/keys.glsl"

const uint COLUMNS = (Dv + 3) / 4;
const uint SLICES = 256 / COLUMNS;
shared vec4 sums[256];

void main() {
    const uint i = gl_LocalInvocationID.x, lane = gl_SubgroupInvocationID, chunks = (S + CHUNK - 1) / CHUNK, rows = T * G;
    const uint group = gl_WorkGroupID.y * gl_NumWorkGroups.x + gl_WorkGroupID.x;
    const uint r = group % rows, h = group / rows % Hkv, b = group / rows / Hkv;
    if (b >= B) return;
    const Keys keys = keys_of(b);
    const uint all = B * Hkv * rows * chunks, from = group * chunks, filled = min(chunks, uint(max(keys.end, 0) + int(CHUNK) - 1) / CHUNK);
    const uint column = i % COLUMNS, slice = i / COLUMNS, to = ((b * T + r / G) * Hkv * G + h * G + r % G) * Dv;

    float top = HIDDEN, total = 0;
    for (uint c = lane; c < filled; c += SUBGROUP) {
        const float most = F32(work).v[2 * (from + c)], now = larger(top, most);
        total = total * weight(top, now) + F32(work).v[2 * (from + c) + 1] * weight(most, now);
        top = now;
    }
    [[unroll]] for (uint step = 1; step < SUBGROUP; step *= 2) {
        const float other = subgroupShuffleXor(top, step), rest = subgroupShuffleXor(total, step), now = larger(top, other);
        const float a = total * weight(top, now), c = rest * weight(other, now);
        total = (lane & step) == 0 ? a + c : c + a;
        top = now;
    }
    if (top == HIDDEN) {  // the whole group agrees
        if (i < COLUMNS) store4(to, i * 4, mean_value(keys, b, h, i * 4));
        return;
    }
    vec4 sum = vec4(0);
    if (slice < SLICES)
        for (uint c = slice; c < filled; c += SLICES) {
            const float most = F32(work).v[2 * (from + c)];
            if (most != HIDDEN) sum += weight(most, top) * F32x4(work).v[(all + 1) / 2 + (from + c) * COLUMNS + column];
        }
    sums[i] = sum;
    barrier();
    if (i >= COLUMNS) return;
    for (uint n = 1; n < SLICES; n++) sum += sums[n * COLUMNS + i];
    store4(to, i * 4, sum / total);
}
