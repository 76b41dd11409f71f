// Device half of plugins/attention/ops/attention/attention_vulkan.cpp
// tiles.comp on cooperative matrices: products of f16, sums and softmax in f32. A workgroup has 64 query rows of one key head, each of its four
// subgroups 16 of them, against 32 keys at a time. Dao et al. 2023, arXiv:2307.08691. D and Dv are multiples of 16 and at most 128.
#version 460
#extension GL_GOOGLE_include_directive : require
#extension GL_EXT_shader_explicit_arithmetic_types_float16 : require
#extension GL_KHR_memory_scope_semantics : require
#extension GL_KHR_cooperative_matrix : require
#extension GL_KHR_shader_subgroup_basic : require
#extension GL_KHR_shader_subgroup_shuffle : require
layout(local_size_x = 128) in;
#include "attention/attention/keys.glsl"
#include "attention/attention/matrix_rows.glsl"

const uint TILE = 64;
const uint LONGER = D > Dv ? D : Dv;
// Distances of rows, in f16vec4 or floats: 16 bytes more than they hold, so that rows begin in different banks.
const uint PITCH = LONGER / 4 + 2, SCORE_PITCH = BLOCK + 4, WEIGHT_PITCH = BLOCK / 4 + 2;

const uint QUERY_EACH = TILE * D / 4 / 128;  // of an invocation, in quads

shared f16vec4 tile[TILE * PITCH];                  // queries; then BLOCK keys, BLOCK values
shared float scores[4 * 16 * SCORE_PITCH];          // of a subgroup: [row][key]
shared f16vec4 weights[4 * 16 * WEIGHT_PITCH];      // [row][key]
shared float factors[4 * 256];                      // [row][16 times the same]

#define MATRIX(type, use) coopmat<type, gl_ScopeSubgroup, 16, 16, use>

f16vec4 halves(uvec2 w) { return f16vec4(unpackFloat2x16(w.x), unpackFloat2x16(w.y)); }

void put(uint i) {
    [[unroll]] for (uint e = 0; e < K_EACH; e++) {
        const uint piece = e * 4 + i % 4, to = i / 4 * PITCH + piece * 2;
        if (piece >= D / 8) continue;
        tile[to] = halves(k_next[e].xy);
        tile[to + 1] = halves(k_next[e].zw);
    }
    [[unroll]] for (uint e = 0; e < V_EACH; e++) {
        const uint piece = e * 4 + i % 4, to = (BLOCK + i / 4) * PITCH + piece * 2;
        if (piece >= Dv / 8) continue;
        tile[to] = halves(v_next[e].xy);
        tile[to + 1] = halves(v_next[e].zw);
    }
}

// One number a row, for its two lanes, to all 16 columns of a matrix.
MATRIX(float, gl_MatrixUseAccumulator) spread(float x) {
    const uint base = gl_SubgroupID * 256 + gl_SubgroupInvocationID * 8;
    [[unroll]] for (uint e = 0; e < 8; e++) factors[base + e] = x;
    subgroupBarrier();
    MATRIX(float, gl_MatrixUseAccumulator) m;
    coopMatLoad(m, factors, gl_SubgroupID * 256, 16, gl_CooperativeMatrixLayoutRowMajor);
    subgroupBarrier();
    return m;
}

void main() {
    const uint i = gl_LocalInvocationID.x, sub = gl_SubgroupID, lane = gl_SubgroupInvocationID;
    const uint rows = T * G, tiles = (rows + TILE - 1) / TILE;
    const uint group = gl_WorkGroupID.y * gl_NumWorkGroups.x + gl_WorkGroupID.x;
    // the last rows first: under a causal mask they have the most keys
    const uint from = (tiles - 1 - group % tiles) * TILE, h = group / tiles % Hkv, b = group / tiles / Hkv;
    if (b >= B) return;
    const Keys keys = keys_of(b);
    const uint last = min(from + TILE, rows) - 1;
    const ivec2 range = seen(keys, from / G, last / G);

    const bool some = range.x < range.y;
    const int start = range.x / int(BLOCK) * int(BLOCK);
    [[unroll]] for (uint e = 0; e < QUERY_EACH; e++) {
        const uint n = e * 128 + i, r = min(from + n / (D / 4), rows - 1), at = b * q_batch + r / G * q_token + (h * G + r % G) * q_head + n % (D / 4) * 4;
        tile[n / (D / 4) * PITCH + n % (D / 4)] = halves(narrowed(vec4(q.v[at], q.v[at + 1], q.v[at + 2], q.v[at + 3])));
    }
    barrier();
    MATRIX(float16_t, gl_MatrixUseA) queries[D / 16];
    [[unroll]] for (uint n = 0; n < D / 16; n++) coopMatLoad(queries[n], tile, sub * 16 * PITCH + n * 4, PITCH, gl_CooperativeMatrixLayoutRowMajor);

    MATRIX(float, gl_MatrixUseAccumulator) acc[Dv / 16];
    [[unroll]] for (uint n = 0; n < Dv / 16; n++) acc[n] = MATRIX(float, gl_MatrixUseAccumulator)(0.0);
    // The softmax of a row is two lanes' work, 16 keys each.
    const uint row = lane / 2, half_ = lane % 2 * 16, r = from + sub * 16 + row;
    float top = HIDDEN, total = 0;

    if (some) {
        find(keys, b, h, start, i);
        fetch(i);
        find(keys, b, h, start + int(BLOCK), i);
    }
    [[dont_unroll]] for (int block = start; block < range.y; block += int(BLOCK)) {
        barrier();
        put(i);
        barrier();
        fetch(i);
        find(keys, b, h, block + 2 * int(BLOCK), i);

        [[unroll]] for (uint s = 0; s < BLOCK; s += 16) {
            MATRIX(float, gl_MatrixUseAccumulator) product = MATRIX(float, gl_MatrixUseAccumulator)(0.0);
            [[unroll]] for (uint n = 0; n < D / 16; n++) {
                MATRIX(float16_t, gl_MatrixUseB) x;
                coopMatLoad(x, tile, s * PITCH + n * 4, PITCH, gl_CooperativeMatrixLayoutColumnMajor);
                product = coopMatMulAdd(queries[n], x, product);
            }
            coopMatStore(product, scores, sub * 16 * SCORE_PITCH + s, SCORE_PITCH, gl_CooperativeMatrixLayoutRowMajor);
        }
        subgroupBarrier();

        float x[16];
        float most = HIDDEN;
        [[unroll]] for (uint s = 0; s < 16; s++) {
            x[s] = score(keys, b, h, r, uint(block) + half_ + s, scores[(sub * 16 + row) * SCORE_PITCH + half_ + s]);
            most = larger(most, x[s]);
        }
        most = larger(most, subgroupShuffleXor(most, 1));
        const float now = larger(top, most), fade = weight(top, now);
        float sum = 0;
        [[unroll]] for (uint s = 0; s < 16; s++) {
            x[s] = weight(x[s], now);
            sum += x[s];
        }
        total = total * fade + (sum + subgroupShuffleXor(sum, 1));
        top = now;
        [[unroll]] for (uint s = 0; s < 4; s++) weights[(sub * 16 + row) * WEIGHT_PITCH + half_ / 4 + s] = f16vec4(x[s * 4], x[s * 4 + 1], x[s * 4 + 2], x[s * 4 + 3]);
        const MATRIX(float, gl_MatrixUseAccumulator) f = spread(fade);
        [[unroll]] for (uint n = 0; n < Dv / 16; n++) acc[n] = acc[n] * f;
        subgroupBarrier();
        [[unroll]] for (uint s = 0; s < BLOCK; s += 16) {
            MATRIX(float16_t, gl_MatrixUseA) p;
            coopMatLoad(p, weights, sub * 16 * WEIGHT_PITCH + s / 4, WEIGHT_PITCH, gl_CooperativeMatrixLayoutRowMajor);
            [[unroll]] for (uint n = 0; n < Dv / 16; n++) {
                MATRIX(float16_t, gl_MatrixUseB) v_;
                coopMatLoad(v_, tile, (BLOCK + s) * PITCH + n * 4, PITCH, gl_CooperativeMatrixLayoutRowMajor);
                acc[n] = coopMatMulAdd(p, v_, acc[n]);
            }
        }
    }

    // 16 columns at a time through shared memory, 8 a lane.
    const uint to = ((b * T + r / G) * Hkv * G + h * G + r % G) * Dv, first = lane % 2 * 8;
    [[unroll]] for (uint n = 0; n < Dv / 16; n++) {
        coopMatStore(acc[n], scores, sub * 16 * SCORE_PITCH, SCORE_PITCH, gl_CooperativeMatrixLayoutRowMajor);
        subgroupBarrier();
        if (r < rows) {
            [[unroll]] for (uint e = 0; e < 8; e += 4) {
                const uint d = n * 16 + first + e, at = (sub * 16 + row) * SCORE_PITCH + first + e;
                const vec4 sum = vec4(scores[at], scores[at + 1], scores[at + 2], scores[at + 3]);
                store4(to, d, top == HIDDEN ? mean_value(keys, b, h, d) : sum / total);
            }
        }
        subgroupBarrier();
    }
}
