// Device half of plugins/attention/ops/attention/attention_vulkan.cpp
// One workgroup: the chunks of one query row, as split.comp left them, into its result.
#version 460
#extension GL_GOOGLE_include_directive : require
layout(local_size_x = 256) in;
#include "attention/attention/keys.glsl"

const uint COLUMNS = (Dv + 3) / 4;
const uint SLICES = 256 / COLUMNS;
shared vec4 sums[256];
shared float weights[256];

void main() {
    const uint i = gl_LocalInvocationID.x, chunks = (S + CHUNK - 1) / CHUNK, rows = T * G;
    const uint group = gl_WorkGroupID.y * gl_NumWorkGroups.x + gl_WorkGroupID.x;
    const uint r = group % rows, h = group / rows % Hkv, b = group / rows / Hkv;
    if (b >= B) return;
    const Keys keys = keys_of(b);
    const uint all = B * Hkv * rows * chunks, from = group * chunks, filled = min(chunks, uint(max(keys.end, 0) + int(CHUNK) - 1) / CHUNK);

    weights[i] = HIDDEN;
    for (uint c = i; c < filled; c += 256) weights[i] = larger(weights[i], F32(work).v[2 * (from + c)]);
    barrier();
    for (uint step = 128; step > 0; step >>= 1) {
        if (i < step) weights[i] = larger(weights[i], weights[i + step]);
        barrier();
    }
    const float top = weights[0];
    const uint column = i % COLUMNS, slice = i / COLUMNS, to = ((b * T + r / G) * Hkv * G + h * G + r % G) * Dv;
    if (top == HIDDEN) {  // the whole group agrees
        if (i < COLUMNS) store4(to, i * 4, mean_value(keys, b, h, i * 4));
        return;
    }
    barrier();
    vec4 sum = vec4(0);
    float total = 0;
    if (slice < SLICES)
        for (uint c = slice; c < filled; c += SLICES) {
            const float most = F32(work).v[2 * (from + c)];
            if (most == HIDDEN) continue;
            const float w = weight(most, top);
            total += w * F32(work).v[2 * (from + c) + 1];
            sum += w * F32x4(work).v[(all + 1) / 2 + (from + c) * COLUMNS + column];
        }
    sums[i] = sum;
    weights[i] = total;
    barrier();
    if (i >= COLUMNS) return;
    for (uint n = 1; n < SLICES; n++) {
        sum += sums[n * COLUMNS + i];
        total += weights[n * COLUMNS + i];
    }
    store4(to, i * 4, sum / total);
}
