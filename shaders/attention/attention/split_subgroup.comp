// Device half of plugins/attention/ops/attention/attention_vulkan.cpp
// split.comp with subgroups of SUBGROUP, eight a workgroup: each has its own eighth of the keys, maxima and sums, and needs no barrier until
// these are merged. 4 lanes a key for the scores; for the values a lane has 8 columns. D and Dv are multiples of 8.
// The last workgroup of the same rows to be done merges what all have left, in the order of the chunks, so that nothing waits for a second dispatch.
#version 460
#extension GL_GOOGLE_include_directive : require
#extension GL_KHR_shader_subgroup_basic : require
#extension GL_KHR_shader_subgroup_shuffle : require
layout(local_size_x = SUBGROUP * 8) in;
#include "attention/attention/keys.glsl"

const uint BLOCK = 64, SHARE = 8;              // keys of a workgroup and a subgroup at a time
const uint KEYS = SUBGROUP / 4;                // of which a subgroup takes at once
const uint MINE = (ROWS + 3) / 4;              // rows whose softmax a lane keeps: lane % 4, lane % 4 + 4, ..
const uint WIDTH = Dv / 8;                     // in columns of 8
// Lanes that share a value row: the power of two that holds WIDTH, or the subgroup, which then takes several turns.
const uint UP = WIDTH <= 1 ? 1 : WIDTH <= 2 ? 2 : WIDTH <= 4 ? 4 : WIDTH <= 8 ? 8 : WIDTH <= 16 ? 16 : 32;
const uint LANES = UP < SUBGROUP ? UP : SUBGROUP;
const uint TURNS = (WIDTH + LANES - 1) / LANES;
const uint EACH = (KEYS * LANES + SUBGROUP - 1) / SUBGROUP;  // values of a lane at once
const uint TOGETHER = Dv > 128 ? 1 : 2;        // rows that are merged at once

layout(buffer_reference, scalar, buffer_reference_align = 4) coherent buffer Left { float v[]; };
layout(buffer_reference, scalar, buffer_reference_align = 16) coherent buffer Left4 { vec4 v[]; };

shared uint before;
shared vec4 query[ROWS * D / 4];
shared float tops[8 * ROWS], totals[8 * ROWS];
shared vec4 sums[8 * TOGETHER * Dv / 4];

void merge(Keys keys, uint b, uint h, uint r, uint filled, uint from, uint all) {
    const uint lane = gl_SubgroupInvocationID, to = ((b * T + r / G) * Hkv * G + h * G + r % G) * Dv;
    float top = HIDDEN, total = 0;
    for (uint c = lane; c < filled; c += SUBGROUP) {
        const float most = Left(work).v[2 * (from + c)], now = larger(top, most);
        total = total * weight(top, now) + Left(work).v[2 * (from + c) + 1] * weight(most, now);
        top = now;
    }
    [[unroll]] for (uint step = 1; step < SUBGROUP; step *= 2) {
        const float other = subgroupShuffleXor(top, step), rest = subgroupShuffleXor(total, step), now = larger(top, other);
        const float a = total * weight(top, now), c = rest * weight(other, now);
        total = (lane & step) == 0 ? a + c : c + a;
        top = now;
    }
    for (uint column = lane; column < Dv / 4; column += SUBGROUP) {
        if (top == HIDDEN) {
            store4(to, column * 4, mean_value(keys, b, h, column * 4));
            continue;
        }
        vec4 sum = vec4(0);
        for (uint c = 0; c < filled; c++) {
            const float most = Left(work).v[2 * (from + c)];
            if (most != HIDDEN) sum += weight(most, top) * Left4(work).v[(all + 1) / 2 + (from + c) * (Dv / 4) + column];
        }
        store4(to, column * 4, sum / total);
    }
}

vec4 both(vec4 x, uint mask) { return x + subgroupShuffleXor(x, mask); }

void main() {
    const uint i = gl_LocalInvocationID.x, chunks = (S + CHUNK - 1) / CHUNK, rows = T * G, tiles = (rows + ROWS - 1) / ROWS;
    const uint group = gl_WorkGroupID.y * gl_NumWorkGroups.x + gl_WorkGroupID.x;
    const uint chunk = group % chunks, tile = group / chunks % tiles, h = group / chunks / tiles % Hkv, b = group / chunks / tiles / Hkv;
    if (b >= B) return;
    const Keys keys = keys_of(b);
    const uint from = tile * ROWS, start = chunk * CHUNK;
    const uint filled = clamp(uint(max(keys.end, 0) + int(CHUNK) - 1) / CHUNK, 1, chunks);
    if (chunk >= filled) return;
    const ivec2 range = seen(keys, from / G, (min(from + ROWS, rows) - 1) / G);

    for (uint n = i; n < ROWS * D / 4; n += SUBGROUP * 8) {
        const uint r = from + n / (D / 4), d = n % (D / 4) * 4;
        const uint at = b * q_batch + r / G * q_token + (h * G + r % G) * q_head + d;
        query[n] = r < rows ? vec4(q.v[at], q.v[at + 1], q.v[at + 2], q.v[at + 3]) : vec4(0);
    }
    barrier();

    const uint sub = gl_SubgroupID, lane = gl_SubgroupInvocationID, part = lane % 4;
    float top[MINE], total[MINE];
    [[unroll]] for (uint m = 0; m < MINE; m++) {
        top[m] = HIDDEN;
        total[m] = 0;
    }
    vec4 acc[ROWS * TURNS * 2];
    [[unroll]] for (uint n = 0; n < ROWS * TURNS * 2; n++) acc[n] = vec4(0);

    for (uint block = start; block < start + CHUNK; block += BLOCK) {
        if (int(block) >= range.y || int(block + BLOCK) <= range.x) continue;
        for (uint pass = 0; pass < SHARE; pass += KEYS) {
            const uint first = block + sub * SHARE + pass, s = first + lane / 4;
            // Values are on their way while scores are found.
            vec4 values[EACH * TURNS * 2];
            [[unroll]] for (uint n = 0; n < EACH; n++) {
                const uint mine = n * (SUBGROUP / LANES) + lane / LANES, token = first + mine;
                const bool there = mine < KEYS && int(token) < keys.end && int(token) >= keys.first;
                const uvec2 row = there ? value_row(keys, b, h, token) : uvec2(0);
                [[unroll]] for (uint turn = 0; turn < TURNS; turn++) {
                    const uint column = turn * LANES + lane % LANES, to = (n * TURNS + turn) * 2;
                    values[to] = values[to + 1] = vec4(0);
                    if (there && column < WIDTH) cache_load8(row, column * 8, V_TYPE, values[to], values[to + 1]);
                }
            }
            float p[ROWS];
            [[unroll]] for (uint r = 0; r < ROWS; r++) p[r] = 0;
            if (int(s) < keys.end && int(s) >= keys.first) {
                const uvec2 row = key_row(keys, b, h, s);
                [[unroll]] for (uint d = 0; d < (D / 8 + 3) / 4; d++) {
                    const uint at = d * 4 + part;
                    if (at < D / 8) {
                        vec4 low, high;
                        cache_load8(row, at * 8, K_TYPE, low, high);
                        [[unroll]] for (uint r = 0; r < ROWS; r++) p[r] += dot(low, query[r * D / 4 + at * 2]) + dot(high, query[r * D / 4 + at * 2 + 1]);
                    }
                }
            }
            float fade[MINE], w[MINE];
            [[unroll]] for (uint m = 0; m < MINE; m++) {
                float x = 0;
                [[unroll]] for (uint e = 0; e < 4; e++)
                    if (m * 4 + e < ROWS) {
                        float sum = p[m * 4 + e];
                        sum += subgroupShuffleXor(sum, 1);
                        sum += subgroupShuffleXor(sum, 2);
                        x = part == e ? sum : x;
                    }
                x = m * 4 + part < ROWS ? score(keys, b, h, from + m * 4 + part, s, x) : HIDDEN;
                float most = x;
                [[unroll]] for (uint step = 4; step < SUBGROUP; step *= 2) most = larger(most, subgroupShuffleXor(most, step));
                const float now = larger(top[m], most);
                fade[m] = weight(top[m], now);
                w[m] = weight(x, now);
                float sum = w[m];
                [[unroll]] for (uint step = 4; step < SUBGROUP; step *= 2) sum += subgroupShuffleXor(sum, step);
                total[m] = total[m] * fade[m] + sum;
                top[m] = now;
            }
            [[unroll]] for (uint r = 0; r < ROWS; r++) {
                const float f = subgroupShuffle(fade[r / 4], r % 4);
                [[unroll]] for (uint n = 0; n < TURNS * 2; n++) acc[r * TURNS * 2 + n] *= f;
            }
            [[unroll]] for (uint n = 0; n < EACH; n++) {
                const uint mine = n * (SUBGROUP / LANES) + lane / LANES;
                [[unroll]] for (uint r = 0; r < ROWS; r++) {
                    const float x = subgroupShuffle(w[r / 4], min(mine, KEYS - 1) * 4 + r % 4);
                    [[unroll]] for (uint turn = 0; turn < TURNS * 2; turn++) acc[r * TURNS * 2 + turn] += x * values[n * TURNS * 2 + turn];
                }
            }
        }
    }
    [[unroll]] for (uint n = 0; n < ROWS * TURNS * 2; n++) {
        [[unroll]] for (uint step = LANES; step < SUBGROUP; step *= 2) acc[n] = both(acc[n], step);
    }
    [[unroll]] for (uint m = 0; m < MINE; m++)
        if (lane < 4 && m * 4 + lane < ROWS) {
            tops[sub * ROWS + m * 4 + lane] = top[m];
            totals[sub * ROWS + m * 4 + lane] = total[m];
        }
    barrier();

    const uint all = B * Hkv * rows * chunks;
    for (uint r0 = 0; r0 < ROWS; r0 += TOGETHER) {
        [[unroll]] for (uint r = 0; r < ROWS; r++) {
            if (r < r0 || r >= r0 + TOGETHER) continue;
            float most = HIDDEN;
            [[unroll]] for (uint n = 0; n < 8; n++) most = larger(most, tops[n * ROWS + r]);
            const float f = weight(tops[sub * ROWS + r], most);
            [[unroll]] for (uint turn = 0; turn < TURNS; turn++) {
                const uint column = turn * LANES + lane;
                if (lane < LANES && column < WIDTH) {
                    sums[((r - r0) * 8 + sub) * (Dv / 4) + column * 2] = f * acc[(r * TURNS + turn) * 2];
                    sums[((r - r0) * 8 + sub) * (Dv / 4) + column * 2 + 1] = f * acc[(r * TURNS + turn) * 2 + 1];
                }
            }
        }
        barrier();
        for (uint n = i; n < TOGETHER * Dv / 4; n += SUBGROUP * 8) {
            const uint r = r0 + n / (Dv / 4), column = n % (Dv / 4);
            if (r >= ROWS || from + r >= rows) continue;
            const uint at = ((b * Hkv + h) * rows + from + r) * chunks + chunk;
            vec4 sum = vec4(0);
            [[unroll]] for (uint e = 0; e < 8; e++) sum += sums[((r - r0) * 8 + e) * (Dv / 4) + column];
            Left4(work).v[(all + 1) / 2 + at * (Dv / 4) + column] = sum;
            if (column == 0) {
                float most = HIDDEN, whole = 0;
                [[unroll]] for (uint e = 0; e < 8; e++) most = larger(most, tops[e * ROWS + r]);
                [[unroll]] for (uint e = 0; e < 8; e++) whole += weight(tops[e * ROWS + r], most) * totals[e * ROWS + r];
                Left(work).v[2 * at] = most;
                Left(work).v[2 * at + 1] = whole;
            }
        }
        barrier();
    }

    const uint place = (b * Hkv + h) * tiles + tile;
    memoryBarrierBuffer();
    barrier();
    if (i == 0) before = atomicAdd(arrived.v[place], 1);
    barrier();
    if (before + 1 != filled) return;
    memoryBarrierBuffer();
    for (uint r = sub; r < ROWS && from + r < rows; r += 8) merge(keys, b, h, from + r, filled, ((b * Hkv + h) * rows + from + r) * chunks, all);
    if (i == 0) arrived.v[place] = 0;
}
