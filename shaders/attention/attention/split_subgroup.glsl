// split.comp with subgroups of SUBGROUP, eight a workgroup: each has its own eighth of the keys, maxima and sums, and needs no barrier until
// these are merged. 4 lanes a key for the scores; for the values a lane has 8 columns. D and Dv are multiples of 8.
// A workgroup takes every SLOTS-th chunk: most are empty in a cache that is not full, and workgroups that find nothing cost time too. Who has done the last
// chunk of the same rows merges what all have left, in the order of the chunks, so that nothing waits for a second dispatch.
// With TURNED the cache lacks the step's own tokens yet: queries and keys are turned here (turned.glsl), each workgroup has those keys and values beside the
// cache, and the one whose chunk they belong to writes them there.
#extension GL_KHR_shader_subgroup_basic : require
#extension GL_KHR_shader_subgroup_shuffle : require
layout(local_size_x = SUBGROUP * 8) in;
#include "attention/attention/keys.glsl"
#ifdef TURNED
#include "attention/rope_attention/turned.glsl"
#endif

const uint BLOCK = 64, SHARE = 8;              // keys of a workgroup and a subgroup at a time
const uint KEYS = SUBGROUP / 4;                // of which a subgroup takes at once
const uint MINE = (ROWS + 3) / 4;              // rows whose softmax a lane keeps: lane % 4, lane % 4 + 4, ..
const uint WIDTH = Dv / 8;                     // in columns of 8
// Lanes that share a value row: the power of two that holds WIDTH, or the subgroup, which then takes several turns.
const uint UP = WIDTH <= 1 ? 1 : WIDTH <= 2 ? 2 : WIDTH <= 4 ? 4 : WIDTH <= 8 ? 8 : WIDTH <= 16 ? 16 : 32;
const uint LANES = UP < SUBGROUP ? UP : SUBGROUP;
const uint TURNS = (WIDTH + LANES - 1) / LANES;
const uint EACH = (KEYS * LANES + SUBGROUP - 1) / SUBGROUP;  // values of a lane at once
const uint QUERY_EACH = (ROWS * D / 4 + SUBGROUP * 8 - 1) / (SUBGROUP * 8);  // vec4 of the queries of an invocation
const uint TOGETHER = Dv > 128 ? 1 : 2;        // rows that are merged at once

layout(buffer_reference, scalar, buffer_reference_align = 4) coherent buffer Left { float v[]; };
layout(buffer_reference, scalar, buffer_reference_align = 16) coherent buffer Left4 { vec4 v[]; };

shared uint before;
#ifndef TURNED
shared vec4 query[ROWS * D / 4];
#endif
shared float tops[8 * ROWS], totals[8 * ROWS];
shared vec4 sums[8 * TOGETHER * Dv / 4];

void end(Keys keys, uint b, uint h, uint r, uint column, float top, float total, vec4 sum) {
    const uint to = ((b * T + r / G) * Hkv * G + h * G + r % G) * Dv;
    store4(to, column * 4, top == HIDDEN ? mean_value(keys, b, h, column * 4) : sum / total);
}

// What `filled` chunks have left, in their order; several are on their way at once.
void merge(Keys keys, uint b, uint h, uint r, uint filled, uint from, uint all) {
    const uint AT_ONCE = 8;
    for (uint column = gl_SubgroupInvocationID; column < Dv / 4; column += SUBGROUP) {
        float top = HIDDEN, total = 0;
        vec4 sum = vec4(0);
        for (uint first = 0; first < filled; first += AT_ONCE) {
            float tops_left[AT_ONCE], totals_left[AT_ONCE];
            vec4 sums_left[AT_ONCE];
            [[unroll]] for (uint e = 0; e < AT_ONCE; e++) {
                const uint c = from + min(first + e, filled - 1);
                tops_left[e] = Left(work).v[2 * c];
                totals_left[e] = Left(work).v[2 * c + 1];
                sums_left[e] = Left4(work).v[(all + 1) / 2 + c * (Dv / 4) + column];
            }
            [[unroll]] for (uint e = 0; e < AT_ONCE; e++) {
                if (first + e >= filled) continue;
                const float now = larger(top, tops_left[e]), fade = weight(top, now), x = weight(tops_left[e], now);
                total = total * fade + totals_left[e] * x;
                sum = sum * fade + sums_left[e] * x;
                top = now;
            }
        }
        end(keys, b, h, r, column, top, total, sum);
    }
}

vec4 both(vec4 x, uint step) { return x + subgroupShuffleXor(x, step); }

float top[MINE], total[MINE];
vec4 acc[ROWS * TURNS * 2];

// A subgroup's share of the chunk that begins at `start`.
void attend(Keys keys, ivec2 range, uint b, uint h, uint from, uint start) {
    const uint sub = gl_SubgroupID, lane = gl_SubgroupInvocationID, part = lane % 4;
    [[unroll]] for (uint m = 0; m < MINE; m++) {
        top[m] = HIDDEN;
        total[m] = 0;
    }
    [[unroll]] for (uint n = 0; n < ROWS * TURNS * 2; n++) acc[n] = vec4(0);

    for (uint block = start; block < start + CHUNK; block += BLOCK) {
        if (int(block) >= range.y || int(block + BLOCK) <= range.x || keys.first >= keys.end) continue;
        for (uint pass = 0; pass < SHARE; pass += KEYS) {
            const uint first = block + sub * SHARE + pass, s = first + lane / 4;
            // Values are on their way while scores are found. What is not there is read from the nearest key that is, and not used.
            uvec2 rows_at[EACH];
            bool there[EACH];
            [[unroll]] for (uint n = 0; n < EACH; n++) {
                const uint mine = n * (SUBGROUP / LANES) + lane / LANES;
                const int token = int(first + mine), nearest = clamp(token, keys.first, keys.end - 1);
                there[n] = mine < KEYS && token == nearest;
                rows_at[n] = value_row_of(keys, b, h, uint(nearest));
            }
            const uvec2 row = key_row_of(keys, b, h, uint(clamp(int(s), keys.first, keys.end - 1)));
            vec4 values[EACH * TURNS * 2];
            [[unroll]] for (uint n = 0; n < EACH; n++)
                [[unroll]] for (uint turn = 0; turn < TURNS; turn++) {
                    const uint to = (n * TURNS + turn) * 2;
                    cache_load8(rows_at[n], min(turn * LANES + lane % LANES, WIDTH - 1) * 8, V_TYPE, values[to], values[to + 1]);
                }
            float p[ROWS];
            [[unroll]] for (uint r = 0; r < ROWS; r++) p[r] = 0;
            [[unroll]] for (uint d = 0; d < (D / 8 + 3) / 4; d++) {
                const uint at = min(d * 4 + part, D / 8 - 1);
                vec4 low, high;
                cache_load8(row, at * 8, K_TYPE, low, high);
#ifdef TURNED
                own_row(keys.k, s, 0, D, at, low, high);
#endif
                [[unroll]] for (uint r = 0; r < ROWS; r++) p[r] += d * 4 + part < D / 8 ? dot(low, query[r * D / 4 + at * 2]) + dot(high, query[r * D / 4 + at * 2 + 1]) : 0.0;
            }
#ifdef TURNED
            [[unroll]] for (uint n = 0; n < EACH * TURNS; n++) {
                const uint token = first + n / TURNS * (SUBGROUP / LANES) + lane / LANES;
                own_row(keys.v, token, OWN_V, Dv, min(n % TURNS * LANES + lane % LANES, WIDTH - 1), values[n * 2], values[n * 2 + 1]);
            }
#endif
            [[unroll]] for (uint n = 0; n < EACH * TURNS * 2; n++) values[n] = there[n / (TURNS * 2)] ? values[n] : vec4(0);
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
}

// Adds the subgroups' shares up, for merge, or for good where no other chunk is filled.
void leave(Keys keys, uint b, uint h, uint from, uint chunk, uint chunks, uint filled, uint all) {
    const uint i = gl_LocalInvocationID.x, sub = gl_SubgroupID, lane = gl_SubgroupInvocationID, rows = T * G;
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
            float most = HIDDEN, whole = 0;
            [[unroll]] for (uint e = 0; e < 8; e++) most = larger(most, tops[e * ROWS + r]);
            [[unroll]] for (uint e = 0; e < 8; e++) whole += weight(tops[e * ROWS + r], most) * totals[e * ROWS + r];
            if (filled == 1) {
                end(keys, b, h, from + r, column, most, whole, sum);
                continue;
            }
            Left4(work).v[(all + 1) / 2 + at * (Dv / 4) + column] = sum;
            if (column == 0) {
                Left(work).v[2 * at] = most;
                Left(work).v[2 * at + 1] = whole;
            }
        }
        barrier();
    }
}

void main() {
    const uint i = gl_LocalInvocationID.x, chunks = (S + CHUNK - 1) / CHUNK, rows = T * G, tiles = (rows + ROWS - 1) / ROWS;
    const uint group = gl_WorkGroupID.y * gl_NumWorkGroups.x + gl_WorkGroupID.x;
    const uint slot = group % SLOTS, tile = group / SLOTS % tiles, h = group / SLOTS / tiles % Hkv, b = group / SLOTS / tiles / Hkv;
    if (b >= B) return;
    const uint from = tile * ROWS;
    // Queries are on their way while it is found how many keys there are.
#ifdef TURNED
    fetch_rows(b, h, from);
#else
    vec4 mine_of_query[QUERY_EACH];
    [[unroll]] for (uint e = 0; e < QUERY_EACH; e++) {
        const uint n = min(i + e * SUBGROUP * 8, ROWS * D / 4 - 1), r = min(from + n / (D / 4), rows - 1);
        const uint at = b * q_batch + r / G * q_token + (h * G + r % G) * q_head + n % (D / 4) * 4;
        mine_of_query[e] = vec4(q.v[at], q.v[at + 1], q.v[at + 2], q.v[at + 3]);
    }
#endif
    const Keys keys = keys_of(b);
    const uint filled = clamp(uint(max(keys.end, 0) + int(CHUNK) - 1) / CHUNK, 1, chunks);
    if (slot >= filled) return;
    const ivec2 range = seen(keys, from / G, (min(from + ROWS, rows) - 1) / G);

#ifdef TURNED
    turn_rows();
    barrier();
    if (tile == 0) write_own(keys.k, keys.v, h, slot);
#else
    [[unroll]] for (uint e = 0; e < QUERY_EACH; e++)
        if (i + e * SUBGROUP * 8 < ROWS * D / 4) query[i + e * SUBGROUP * 8] = mine_of_query[e];
    barrier();
#endif

    const uint all = B * Hkv * rows * chunks, place = (b * Hkv + h) * tiles + tile;
    [[dont_unroll]] for (uint chunk = slot; chunk < filled; chunk += SLOTS) {
        attend(keys, range, b, h, from, chunk * CHUNK);
        leave(keys, b, h, from, chunk, chunks, filled, all);
        if (filled == 1) return;
        memoryBarrierBuffer();
        barrier();
        if (i == 0) before = atomicAdd(arrived.v[place], 1);
        barrier();
        if (before + 1 != filled) continue;  // the next chunk's first barrier comes before `before` is written again
        memoryBarrierBuffer();
        for (uint r = gl_SubgroupID; r < ROWS && from + r < rows; r += 8) merge(keys, b, h, from + r, filled, ((b * Hkv + h) * rows + from + r) * chunks, all);
        if (i == 0) arrived.v[place] = 0;
    }
}
