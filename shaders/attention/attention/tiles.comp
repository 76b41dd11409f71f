// Device half of plugins/attention/ops/attention/attention_vulkan.cpp
// One workgroup: 64 query rows of one key head, over all keys in tiles of 32 with a running maximum; the T x S scores never exist.
// Dao et al. 2022, arXiv:2205.14135. An invocation has 4 rows x 2 keys of the scores and 4 rows x 4 columns of each 64 of the result.
// Tiles begin at multiples of 32 and hidden keys add nothing, so a row's bits depend on its own query and keys alone.
#version 460
#extension GL_GOOGLE_include_directive : require
layout(local_size_x = 256) in;
#include "attention/attention/keys.glsl"

const uint TILE = 64, BLOCK = 32, STRIP = 32;  // rows, keys, elements of D at a time
const uint SLICES = (Dv + 63) / 64;            // of 64 columns

shared vec4 query[STRIP * TILE / 4];           // [element][row]
shared vec2 key[STRIP * BLOCK / 2];            // [element][key]
shared vec4 weights[BLOCK * TILE / 4];         // [key][row]
shared vec4 value[BLOCK * 16];                 // [key][column]
shared uvec2 key_rows[BLOCK], value_rows[BLOCK];
shared float parts[256], top[TILE], total[TILE];
shared vec4 fade[TILE / 4];

void load_query(uint b, uint h, uint from, uint strip) {
    for (uint n = gl_LocalInvocationID.x; n < TILE * STRIP / 4; n += 256) {
        const uint row = n % TILE, d = n / TILE * 4, r = from + row;
        const uint at = b * q_batch + r / G * q_token + (h * G + r % G) * q_head + strip;
        [[unroll]] for (uint e = 0; e < 4; e++) query[(d + e) * (TILE / 4) + row / 4][row % 4] = r < T * G && strip + d + e < D ? q.v[at + d + e] : 0.0;
    }
}
void load_keys(uint strip) {
    const uint n = gl_LocalInvocationID.x, s = n % BLOCK, d = n / BLOCK * 4;
    const uvec2 row = key_rows[s];
    vec4 x = vec4(0);
    if (row != uvec2(0) && strip + d < D) x = load_key(row, strip + d);
    [[unroll]] for (uint e = 0; e < 4; e++) key[(d + e) * (BLOCK / 2) + s / 2][s % 2] = x[e];
}
void load_values(uint first) {
    for (uint n = gl_LocalInvocationID.x; n < BLOCK * 16; n += 256) {
        const uvec2 row = value_rows[n / 16];
        const uint d = first + n % 16 * 4;
        value[n] = row != uvec2(0) && d < Dv ? load_value(row, d) : vec4(0);
    }
}

// Scores in `weights` become weights; 4 lanes a row.
void weigh() {
    const uint i = gl_LocalInvocationID.x, row = i / 4, first = i % 4 * 8;
    float most = HIDDEN;
    for (uint s = first; s < first + 8; s++) most = larger(most, weights[s * (TILE / 4) + row / 4][row % 4]);
    parts[i] = most;
    barrier();
    const float before = top[row];
    const float now = larger(before, larger(larger(parts[row * 4], parts[row * 4 + 1]), larger(parts[row * 4 + 2], parts[row * 4 + 3])));
    float sum = 0;
    for (uint s = first; s < first + 8; s++) {
        const uint at = s * (TILE / 4) + row / 4;
        const float w = weight(weights[at][row % 4], now);
        weights[at][row % 4] = w;
        sum += w;
    }
    barrier();
    parts[i] = sum;
    barrier();
    if (i % 4 == 0) {
        const float f = weight(before, now);
        fade[row / 4][row % 4] = f;
        total[row] = total[row] * f + ((parts[i] + parts[i + 1]) + (parts[i + 2] + parts[i + 3]));
        top[row] = now;
    }
    barrier();
}

void main() {
    const uint i = gl_LocalInvocationID.x, rows = T * G, tiles = (rows + TILE - 1) / TILE;
    const uint group = gl_WorkGroupID.y * gl_NumWorkGroups.x + gl_WorkGroupID.x;
    const uint from = (tiles - 1 - group % tiles) * TILE, h = group / tiles % Hkv, b = group / tiles / Hkv;
    if (b >= B) return;
    const Keys keys = keys_of(b);
    const ivec2 range = seen(keys, from / G, (min(from + TILE, rows) - 1) / G);
    const uint rg = i / 16, cg = i % 16;
    if (i < TILE) {
        top[i] = HIDDEN;
        total[i] = 0;
    }
    vec4 acc[SLICES * 4];
    [[unroll]] for (uint n = 0; n < SLICES * 4; n++) acc[n] = vec4(0);

    for (int block = range.x / int(BLOCK) * int(BLOCK); block < range.y; block += int(BLOCK)) {
        if (i < BLOCK) {
            const int token = block + int(i);
            const bool there = token >= keys.first && token < keys.end;
            key_rows[i] = there ? key_row(keys, b, h, uint(token)) : uvec2(0);
            value_rows[i] = there ? value_row(keys, b, h, uint(token)) : uvec2(0);
        }
        barrier();
        vec4 s0 = vec4(0), s1 = vec4(0);
        for (uint strip = 0; strip < D; strip += STRIP) {
            load_query(b, h, from, strip);
            load_keys(strip);
            barrier();
            [[unroll]] for (uint d = 0; d < STRIP; d++) {
                const vec4 a = query[d * (TILE / 4) + rg];
                const vec2 c = key[d * (BLOCK / 2) + cg];
                s0 += a * c.x;
                s1 += a * c.y;
            }
            barrier();
        }
        [[unroll]] for (uint e = 0; e < 4; e++) {
            const uint r = from + rg * 4 + e, s = uint(block) + cg * 2;
            s0[e] = score(keys, b, h, r, s, s0[e]);
            s1[e] = score(keys, b, h, r, s + 1, s1[e]);
        }
        weights[(cg * 2) * (TILE / 4) + rg] = s0;
        weights[(cg * 2 + 1) * (TILE / 4) + rg] = s1;
        barrier();
        weigh();
        const vec4 f = fade[rg];
        [[unroll]] for (uint n = 0; n < SLICES; n++) {
            load_values(n * 64);
            barrier();
            [[unroll]] for (uint e = 0; e < 4; e++) acc[n * 4 + e] *= f[e];
            for (uint s = 0; s < BLOCK; s++) {
                const vec4 p = weights[s * (TILE / 4) + rg], x = value[s * 16 + cg];
                [[unroll]] for (uint e = 0; e < 4; e++) acc[n * 4 + e] += p[e] * x;
            }
            barrier();
        }
    }
    barrier();
    [[unroll]] for (uint e = 0; e < 4; e++) {
        const uint r = from + rg * 4 + e;
        if (r >= rows) continue;
        const float most = top[rg * 4 + e], sum = total[rg * 4 + e];
        const uint to = ((b * T + r / G) * Hkv * G + h * G + r % G) * Dv;
        [[unroll]] for (uint n = 0; n < SLICES; n++) {
            const uint d = n * 64 + cg * 4;
            if (d < Dv) store4(to, d, most == HIDDEN ? mean_value(keys, b, h, d) : acc[n * 4 + e] / sum);
        }
    }
}
