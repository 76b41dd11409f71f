// Device half of plugins/attention/ops/attention/attention_vulkan.cpp
// One workgroup: up to ROWS query rows of one key head against CHUNK keys, which it reads once; leaves for each row the largest score, the
// sum of weights and the weighted sum of values. What merge.comp does with these. Flash decoding: Dao et al. 2023, pytorch.org/blog/flash-decoding
#version 460
#extension GL_GOOGLE_include_directive : require
layout(local_size_x = 256) in;
#include "attention/attention/keys.glsl"

const uint BLOCK = 64;                        // keys at a time: 4 lanes each
const uint Q_WIDTH = (D + 3) / 4;             // in vec4
const uint COLUMNS = (Dv + 3) / 4;            // in vec4: one lane each, in SLICES slices of the keys
const uint SLICES = 256 / COLUMNS;

shared vec4 query[ROWS * Q_WIDTH];
shared float parts[ROWS * 256];
shared float scores[ROWS * BLOCK];
shared float top[ROWS], total[ROWS], fade[ROWS];
shared vec4 sums[256];

void products(Keys keys, uint b, uint h, uint start) {
    const uint i = gl_LocalInvocationID.x, s = start + i / 4;
    float p[ROWS];
    [[unroll]] for (uint r = 0; r < ROWS; r++) p[r] = 0;
    if (int(s) < keys.end && int(s) >= keys.first) {
        const uvec2 row = key_row(keys, b, h, s);
        for (uint d = i % 4; d < Q_WIDTH; d += 4) {
            const vec4 x = load_key(row, d * 4);
            [[unroll]] for (uint r = 0; r < ROWS; r++) p[r] += dot(x, query[r * Q_WIDTH + d]);
        }
    }
    [[unroll]] for (uint r = 0; r < ROWS; r++) parts[r * 256 + i] = p[r];
}

// scores become weights against the largest so far, by which what was summed before fades. 32 lanes a row.
void weigh(Keys keys, uint b, uint h, uint from, uint start) {
    const uint i = gl_LocalInvocationID.x, lane = i % 32;
    for (uint n = i; n < ROWS * BLOCK; n += 256) {
        const uint at = n / BLOCK * 256 + n % BLOCK * 4;
        scores[n] = score(keys, b, h, from + n / BLOCK, start + n % BLOCK, (parts[at] + parts[at + 1]) + (parts[at + 2] + parts[at + 3]));
    }
    barrier();
    for (uint r0 = 0; r0 < ROWS; r0 += 8) {
        const uint r = r0 + i / 32;
        const bool live = r < ROWS;
        parts[i] = live ? larger(scores[r * BLOCK + lane], scores[r * BLOCK + lane + 32]) : HIDDEN;
        barrier();
        for (uint step = 16; step > 0; step >>= 1) {
            if (lane < step) parts[i] = larger(parts[i], parts[i + step]);
            barrier();
        }
        const float before = live ? top[r] : HIDDEN, now = larger(before, parts[i - lane]);
        barrier();
        if (live) {
            const float a = weight(scores[r * BLOCK + lane], now), c = weight(scores[r * BLOCK + lane + 32], now);
            scores[r * BLOCK + lane] = a;
            scores[r * BLOCK + lane + 32] = c;
            parts[i] = a + c;
        }
        barrier();
        for (uint step = 16; step > 0; step >>= 1) {
            if (lane < step) parts[i] += parts[i + step];
            barrier();
        }
        if (live && lane == 0) {
            fade[r] = weight(before, now);
            total[r] = total[r] * fade[r] + parts[i];
            top[r] = now;
        }
        barrier();
    }
}

void main() {
    const uint i = gl_LocalInvocationID.x, chunks = (S + CHUNK - 1) / CHUNK, rows = T * G, tiles = (rows + ROWS - 1) / ROWS;
    const uint group = gl_WorkGroupID.y * gl_NumWorkGroups.x + gl_WorkGroupID.x;
    const uint chunk = group % chunks, tile = group / chunks % tiles, h = group / chunks / tiles % Hkv, b = group / chunks / tiles / Hkv;
    if (b >= B) return;
    const Keys keys = keys_of(b);
    const uint from = tile * ROWS, start = chunk * CHUNK;
    if (int(start) >= keys.end) return;  // merge knows
    const ivec2 range = seen(keys, from / G, (min(from + ROWS, rows) - 1) / G);
    const bool needed = int(start) < range.y && int(start + CHUNK) > range.x;

    for (uint n = i; n < ROWS; n += 256) {
        top[n] = HIDDEN;
        total[n] = 0;
    }
    for (uint n = i; n < ROWS * Q_WIDTH; n += 256) {
        const uint r = from + n / Q_WIDTH, d = n % Q_WIDTH * 4;
        vec4 x = vec4(0);
        [[unroll]] for (uint e = 0; e < 4; e++)
            if (r < rows && d + e < D) x[e] = q.v[b * q_batch + r / G * q_token + (h * G + r % G) * q_head + d + e];
        query[n] = x;
    }
    barrier();

    const uint column = i % COLUMNS, slice = i / COLUMNS;
    vec4 acc[ROWS];
    [[unroll]] for (uint r = 0; r < ROWS; r++) acc[r] = vec4(0);
    if (needed)
        for (uint block = start; block < start + CHUNK && int(block) < range.y; block += BLOCK) {
            if (int(block + BLOCK) <= range.x) continue;
            products(keys, b, h, block);
            barrier();
            weigh(keys, b, h, from, block);
            [[unroll]] for (uint r = 0; r < ROWS; r++) acc[r] *= fade[r];
            if (slice < SLICES)
                for (uint s = slice; s < BLOCK; s += SLICES) {
                    const uint token = block + s;
                    if (int(token) < keys.first || int(token) >= keys.end) continue;
                    const vec4 x = load_value(value_row(keys, b, h, token), column * 4);
                    [[unroll]] for (uint r = 0; r < ROWS; r++) acc[r] += scores[r * BLOCK + s] * x;
                }
            barrier();
        }

    const uint all = B * Hkv * rows * chunks;
    [[unroll]] for (uint r = 0; r < ROWS; r++) {
        sums[i] = acc[r];
        barrier();
        const uint at = ((b * Hkv + h) * rows + from + r) * chunks + chunk;
        if (from + r < rows && i < COLUMNS && top[r] != HIDDEN) {
            vec4 sum = sums[i];
            for (uint n = 1; n < SLICES; n++) sum += sums[n * COLUMNS + i];
            F32x4(work).v[(all + 1) / 2 + at * COLUMNS + i] = sum;
        }
        if (from + r < rows && i == 0) {
            F32(work).v[2 * at] = top[r];
            F32(work).v[2 * at + 1] = total[r];
        }
        barrier();
    }
}
