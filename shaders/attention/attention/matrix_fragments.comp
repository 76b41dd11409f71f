// Device half of plugins/attention/ops/attention/attention_vulkan.cpp
// matrix.comp for drivers whose invocations hold what those of PTX's mma.m16n8k16 do (ORR_VULKAN_COOPMAT_MMA): scores become weights, and these the next
// product's operand, in registers. Invocation t of four has of a row of scores elements 2 t and 2 t + 1 of each 8; of queries and keys columns 8 t … 8 t + 7 of
// each 32, which one load gives it (columns may go into the sum in any order). Keys and values lie in shared memory twice: while one half is read the
// other is written, so that a block has one barrier. Dao 2023, arXiv:2307.08691. D and Dv are multiples of 16 and at most 128.
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
const uint K_PITCH = (D / 8 + 3) / 8 * 8 + 4, V_PITCH = Dv / 8 | 1;  // in uvec4: what eight invocations read at once lies in different banks
shared uvec4 ks[2 * BLOCK * K_PITCH], vs[2 * BLOCK * V_PITCH];

// Whether a score that is seen is SCALE q . k.
bool plain() { return (FLAGS & BIAS) == 0 && MASK_TYPE == 0 && SOFTCAP == 0; }

#define FRAGMENT(type, columns, use) coopmat<type, gl_ScopeSubgroup, 16, columns, use>
void put(uint half_of, uint i) {
    const uint row = half_of * BLOCK + i / 4;
    [[unroll]] for (uint e = 0; e < K_EACH; e++)
        if (e * 4 + i % 4 < D / 8) ks[row * K_PITCH + e * 4 + i % 4] = k_next[e];
    [[unroll]] for (uint e = 0; e < V_EACH; e++)
        if (e * 4 + i % 4 < Dv / 8) vs[row * V_PITCH + e * 4 + i % 4] = v_next[e];
}

// Fragments of a head and their elements have names and constant places: NVIDIA's compiler keeps arrays of matrices that loops count through in memory, where
// this took twice as long on an H200. What is past a head's width is left out when the pipeline is built.
#define EACH_8(DO) DO(0) DO(1) DO(2) DO(3) DO(4) DO(5) DO(6) DO(7)
#define EACH_16(DO) EACH_8(DO) DO(8) DO(9) DO(10) DO(11) DO(12) DO(13) DO(14) DO(15)
#define EACH_PAIR_OF_8(DO) DO(0, 0, 1) DO(1, 2, 3) DO(2, 4, 5) DO(3, 6, 7)

#define SET_ROW(fragment, first, w)                                                  \
    {                                                                                \
        const f16vec2 low_ = unpackFloat2x16((w).x), high_ = unpackFloat2x16((w).y); \
        fragment[first] = low_.x;                                                    \
        fragment[first + 1] = low_.y;                                                \
        fragment[first + 2] = high_.x;                                               \
        fragment[first + 3] = high_.y;                                               \
    }

#define DECLARE_QUERY(n) FRAGMENT(float16_t, 16, gl_MatrixUseA) query_##n;
#define LOAD_QUERY(n)                                                                \
    if (n < D / 16) {                                                                \
        const uvec2 near = query_of(b, h, min(first_row, rows - 1), n, t);           \
        const uvec2 far = query_of(b, h, min(first_row + 8, rows - 1), n, t);        \
        SET_ROW(query_##n, 0, near)                                                  \
        SET_ROW(query_##n, 4, far)                                                   \
    }
#define MULTIPLY_KEY(pair, even, odd)                                                \
    if (odd < D / 16) {                                                              \
        const uvec4 w = ks[row + pair * 4 + t];                                      \
        SET_ROW(key, 0, w.xy)                                                        \
        product = coopMatMulAdd(query_##even, key, product);                         \
        SET_ROW(key, 0, w.zw)                                                        \
        product = coopMatMulAdd(query_##odd, key, product);                          \
    } else if (even < D / 16) {                                                      \
        const uvec4 w = ks[row + pair * 4 + t / 2];                                  \
        SET_ROW(key, 0, (t & 1) == 0 ? w.xy : w.zw)                                  \
        product = coopMatMulAdd(query_##even, key, product);                         \
    }

#define DECLARE_SUM(n) FRAGMENT(float, 8, gl_MatrixUseAccumulator) sum_##n = FRAGMENT(float, 8, gl_MatrixUseAccumulator)(0.0);
#define FADE_SUM(n)                                                                  \
    if (n < Dv / 8) {                                                                \
        sum_##n[0] *= fade[0];                                                       \
        sum_##n[1] *= fade[0];                                                       \
        sum_##n[2] *= fade[1];                                                       \
        sum_##n[3] *= fade[1];                                                       \
    }
#define ADD_VALUES(n)                                                                \
    if (n < Dv / 8) {                                                                \
        coopMatLoad(value, vs, values + n, V_PITCH, gl_CooperativeMatrixLayoutRowMajor); \
        sum_##n = coopMatMulAdd(p, value, sum_##n);                                  \
    }
#define WRITE_SUM(n)                                                                 \
    if (n < Dv / 8) {                                                                \
        if (seen_any[0]) write_two(to[0] + n * 8, vec2(sum_##n[0], sum_##n[1]) / total[0]); \
        if (seen_any[1]) write_two(to[1] + n * 8, vec2(sum_##n[2], sum_##n[3]) / total[1]); \
    }

// Elements of row r that an invocation has of fragment n.
uvec2 query_of(uint b, uint h, uint r, uint n, uint t) {
    const uint at = b * q_batch + r / G * q_token + (h * G + r % G) * q_head + (n / 2 * 2 + 1 < D / 16 ? n / 2 * 32 + t * 8 + n % 2 * 4 : n * 16 + t * 4);
    return narrowed(vec4(q.v[at], q.v[at + 1], q.v[at + 2], q.v[at + 3]));
}

void write_two(uint to, vec2 x) {
    y.v[to] = x.x;
    y.v[to + 1] = x.y;
}

void main() {
    const uint i = gl_LocalInvocationID.x, sub = gl_SubgroupID, g = gl_SubgroupInvocationID / 4, t = gl_SubgroupInvocationID % 4;
    const uint rows = T * G, tiles = (rows + TILE - 1) / TILE;
    const uint group = gl_WorkGroupID.y * gl_NumWorkGroups.x + gl_WorkGroupID.x;
    // the last rows first: under a causal mask they have the most keys
    const uint from = (tiles - 1 - group % tiles) * TILE, h = group / tiles % Hkv, b = group / tiles / Hkv;
    if (b >= B) return;
    const uint first_row = from + sub * 16 + g;  // and first_row + 8
    EACH_8(DECLARE_QUERY)
    EACH_8(LOAD_QUERY)
    const Keys keys = keys_of(b);
    const uint t_first = from / G, t_last = (min(from + TILE, rows) - 1) / G;
    const ivec2 range = seen(keys, t_first, t_last), all = seen(keys, t_last, t_first);

    EACH_16(DECLARE_SUM)
    float top[2] = {HIDDEN, HIDDEN}, total[2] = {0, 0};
    const int start = range.x / int(BLOCK) * int(BLOCK);
    if (range.x < range.y) {
        find(keys, b, h, start, i);
        fetch(i);
        find(keys, b, h, start + int(BLOCK), i);
        put(0, i);
        barrier();
    }
    uint half_of = 0;
    [[dont_unroll]] for (int block = start; block < range.y; block += int(BLOCK), half_of ^= 1) {
        fetch(i);
        find(keys, b, h, block + 2 * int(BLOCK), i);
        float x[2][BLOCK / 4];  // of rows g and g + 8
        [[unroll]] for (uint n = 0; n < BLOCK / 8; n++) {
            FRAGMENT(float, 8, gl_MatrixUseAccumulator) product = FRAGMENT(float, 8, gl_MatrixUseAccumulator)(0.0);
            coopmat<float16_t, gl_ScopeSubgroup, 16, 8, gl_MatrixUseB> key;
            const uint row = (half_of * BLOCK + n * 8 + g) * K_PITCH;
            EACH_PAIR_OF_8(MULTIPLY_KEY)
            x[0][n * 2] = product[0];
            x[0][n * 2 + 1] = product[1];
            x[1][n * 2] = product[2];
            x[1][n * 2 + 1] = product[3];
        }
        if (plain() && block >= all.x && block + int(BLOCK) <= all.y) {
            [[unroll]] for (uint row = 0; row < 2; row++)
                [[unroll]] for (uint s = 0; s < BLOCK / 4; s++) x[row][s] *= SCALE;
        } else {
            [[unroll]] for (uint row = 0; row < 2; row++)
                [[unroll]] for (uint s = 0; s < BLOCK / 4; s++)
                    x[row][s] = score(keys, b, h, first_row + row * 8, uint(block) + s / 2 * 8 + t * 2 + s % 2, x[row][s]);
        }
        float fade[2];
        [[unroll]] for (uint row = 0; row < 2; row++) {
            float most = x[row][0];
            [[unroll]] for (uint s = 1; s < BLOCK / 4; s++) most = larger(most, x[row][s]);
            most = larger(most, subgroupShuffleXor(most, 1));
            most = larger(most, subgroupShuffleXor(most, 2));
            const float now = larger(top[row], most);
            fade[row] = weight(top[row], now);
            float sum = 0;
            [[unroll]] for (uint s = 0; s < BLOCK / 4; s++) {
                x[row][s] = weight(x[row][s], now);
                sum += x[row][s];
            }
            total[row] = total[row] * fade[row] + sum;
            top[row] = now;
        }
        EACH_16(FADE_SUM)
        [[unroll]] for (uint s = 0; s < BLOCK / 16; s++) {
            FRAGMENT(float16_t, 16, gl_MatrixUseA) p;
            SET_ROW(p, 0, uvec2(packFloat2x16(f16vec2(x[0][s * 4], x[0][s * 4 + 1])), packFloat2x16(f16vec2(x[0][s * 4 + 2], x[0][s * 4 + 3]))))
            SET_ROW(p, 4, uvec2(packFloat2x16(f16vec2(x[1][s * 4], x[1][s * 4 + 1])), packFloat2x16(f16vec2(x[1][s * 4 + 2], x[1][s * 4 + 3]))))
            coopmat<float16_t, gl_ScopeSubgroup, 16, 8, gl_MatrixUseB> value;
            const uint values = (half_of * BLOCK + s * 16) * V_PITCH;
            EACH_16(ADD_VALUES)
        }
        put(half_of ^ 1, i);
        barrier();
    }

    bool seen_any[2];
    uint to[2];
    [[unroll]] for (uint row = 0; row < 2; row++) {
        total[row] += subgroupShuffleXor(total[row], 1);
        total[row] += subgroupShuffleXor(total[row], 2);
        const uint r = first_row + row * 8, begin = ((b * T + r / G) * Hkv * G + h * G + r % G) * Dv;
        to[row] = begin + t * 2;
        seen_any[row] = r < rows && top[row] != HIDDEN;
        if (r < rows && top[row] == HIDDEN)
            for (uint d = t * 4; d < Dv; d += 16) store4(begin, d, mean_value(keys, b, h, d));
    }
    EACH_16(WRITE_SUM)
}
