// Rows of x in f16 (product_to_f16.glsl) times packed weights with cooperative matrices of 16 x 16 x 16, sums in f32. A workgroup of SUB_M x SUB_N
// subgroups computes TILE_M rows of x by TILE_N weight rows, a subgroup FRAGMENTS_M x FRAGMENTS_N fragments of it. Blocks of 32 columns go through
// shared memory, two buffers in turn; weights become f16 on the way there: a code under the exponent of 1024 is 1024 + code.
// Two neighbouring codes of a word are 16 bits apart, so four columns lie in the order 0 2 1 3, in x as in the weights.
// Gated: a subgroup's even fragments are of the first weight, the odd ones of the second.
#extension GL_KHR_cooperative_matrix : require
#extension GL_KHR_memory_scope_semantics : require
#extension GL_EXT_shader_explicit_arithmetic_types : require
#extension GL_KHR_shader_subgroup_basic : require
#define ORR_GROUP (SUB_M * SUB_N * 32)
layout(local_size_x = ORR_GROUP) in;
#include "common/product.glsl"

const uint TILE_M = SUB_M * FRAGMENTS_M * 16, TILE_N = SUB_N * FRAGMENTS_N * 16;
const uint PITCH = 5;  // uvec4 of a row of 32 f16: 80 bytes, so that 8 rows lie in different banks
const uint X_ROWS_EACH = TILE_M * 4 / ORR_GROUP, W_EACH = TILE_N * 2 / ORR_GROUP;
shared uvec4 xs[2 * TILE_M * PITCH];
shared uvec4 ws[2 * TILE_N * PITCH];
shared uint table[16];  // f16 bits

// Words of one row's half block: quads 2u, 2u + 1, 2u + 4, 2u + 5.
struct Raw {
    uvec4 a, b, c, d;
    uvec2 high, params;
};

Raw load_raw(uint type, uvec2 row_tile, uint block, uint row, uint u) {
    const uvec2 tile = address_plus(row_tile, tile_at(type, block)), high = address_plus(tile, tile_code_bytes(type));
    Raw r;
    r.a = r.b = r.c = r.d = uvec4(0);
    r.high = r.params = uvec2(0);
    if (type == TILE_F32) {
        r.a = U32x4(tile).v[(2u * u) * 32u + row];
        r.b = U32x4(tile).v[(2u * u + 1u) * 32u + row];
        r.c = U32x4(tile).v[(2u * u + 4u) * 32u + row];
        r.d = U32x4(tile).v[(2u * u + 5u) * 32u + row];
        return r;
    }
    if (tile_is_float(type)) {
        r.a = U32x4(tile).v[u * 32u + row];
        r.b = U32x4(tile).v[(u + 2u) * 32u + row];
        return r;
    }
    if (tile_code_bytes(type) == 256u) r.a.xy = U32x2(tile).v[row];
    else r.a.xy = U32x2(tile).v[row * 2u + u];
    if (type == TILE_Q8_0) r.a.zw = U32x2(tile).v[64u + row * 2u + u];
    if (tile_high_bytes(type) == 128u) r.high.x = U32(high).v[row];
    if (tile_high_bytes(type) == 256u) r.high = U32x2(high).v[row];
    r.params = tile_params(type, row_tile, block, row);
    return r;
}

// Codes of quad 2u + i (i < 2) or 2u + i + 2.
uint raw_codes(uint type, Raw r, uint u, uint i) {
    const uint q = 2u * u + (i & 1u) + (i >= 2u ? 4u : 0u);
    if (type == TILE_Q8_0) return r.a[i];
    if (tile_code_bytes(type) == 256u) {
        uint c = tile_pairs(i < 2u ? r.a.x : r.a.y, q);
        if (type == TILE_Q3_K) c |= tile_bits(r.high.x, q) << 2;
        return c;
    }
    uint c = tile_nibbles(r.a[i & 1u], i < 2u ? 0u : 4u);
    if (tile_high_bytes(type) == 128u) c |= tile_bits(r.high.x, q) << 4;
    if (tile_high_bytes(type) == 256u) c |= tile_pairs(i < 2u ? r.high.x : r.high.y, q) << 4;
    return c;
}

uvec2 halves(vec4 v) { return uvec2(packHalf2x16(v.xz), packHalf2x16(v.yw)); }

uvec2 quad_f16(uint type, Raw r, uint u, uint i, f16vec2 s, f16vec2 o) {
    if (type == TILE_F32) return halves(uintBitsToFloat(i == 0u ? r.a : i == 1u ? r.b : i == 2u ? r.c : r.d));
    if (tile_is_float(type)) {
        const uvec4 v = i < 2u ? r.a : r.b;
        const uvec2 w = (i & 1u) == 0u ? v.xy : v.zw;
        if (type == TILE_BF16) return halves(vec4(bf16x2(w.x), bf16x2(w.y)));
        return uvec2((w.x & 0xffffu) | w.y << 16, w.x >> 16 | (w.y & 0xffff0000u));
    }
    const uint c = raw_codes(type, r, u, i);
    if (tile_has_table(type)) {
        const uvec2 w = uvec2(table[c & 15u] | table[c >> 16 & 15u] << 16, table[c >> 8 & 15u] | table[c >> 24 & 15u] << 16);
        return uvec2(packFloat2x16(unpackFloat2x16(w.x) * s), packFloat2x16(unpackFloat2x16(w.y) * s));
    }
    const f16vec2 even = unpackFloat2x16((c & 0x00ff00ffu) | 0x64006400u) - float16_t(1024), odd = unpackFloat2x16((c >> 8 & 0x00ff00ffu) | 0x64006400u) - float16_t(1024);
    return uvec2(packFloat2x16(fma(even, s, o)), packFloat2x16(fma(odd, s, o)));
}

void store_raw(uint type, Raw r, uint to, uint u) {
    f16vec2 s0 = f16vec2(0), o0 = s0, s1 = s0, o1 = s0;
    if (!tile_is_float(type)) {
        const vec4 so = tile_scales(type, r.params);
        s0 = f16vec2(float16_t(so.x)), o0 = f16vec2(float16_t(so.y)), s1 = f16vec2(float16_t(so.z)), o1 = f16vec2(float16_t(so.w));
    }
    ws[to + u] = uvec4(quad_f16(type, r, u, 0, s0, o0), quad_f16(type, r, u, 1, s0, o0));
    ws[to + u + 2u] = uvec4(quad_f16(type, r, u, 2, s1, o1), quad_f16(type, r, u, 3, s1, o1));
}

coopmat<float, gl_ScopeSubgroup, 16, 16, gl_MatrixUseAccumulator> acc[FRAGMENTS_M][FRAGMENTS_N];

void multiply(uint buffer_at, uint sub_m, uint sub_n) {
    coopmat<float16_t, gl_ScopeSubgroup, 16, 16, gl_MatrixUseA> a[FRAGMENTS_M];
    coopmat<float16_t, gl_ScopeSubgroup, 16, 16, gl_MatrixUseB> b;
    [[unroll]] for (uint c = 0; c < 2u; c++) {
        [[unroll]] for (uint i = 0; i < FRAGMENTS_M; i++) coopMatLoad(a[i], xs, (buffer_at * TILE_M + (sub_m * FRAGMENTS_M + i) * 16u) * PITCH + c * 2u, PITCH, gl_CooperativeMatrixLayoutRowMajor);
        [[unroll]] for (uint j = 0; j < FRAGMENTS_N; j++) {
            coopMatLoad(b, ws, (buffer_at * TILE_N + (sub_n * FRAGMENTS_N + j) * 16u) * PITCH + c * 2u, PITCH, gl_CooperativeMatrixLayoutColumnMajor);
            [[unroll]] for (uint i = 0; i < FRAGMENTS_M; i++) acc[i][j] = coopMatMulAdd(a[i], b, acc[i][j]);
        }
    }
}

// Fragments pass through shared memory, a subgroup's own, to learn which element is whose.
void finish(Part p, uint first, uint sub_m, uint sub_n) {
    const uint lane = gl_SubgroupInvocationID, mine = gl_SubgroupID * 128u, row = lane / 2u;
    barrier();
    [[unroll]] for (uint i = 0; i < FRAGMENTS_M; i++)
        [[unroll]] for (uint j = 0; j < FRAGMENTS_N; j += 2u) {
            coopMatStore(acc[i][j], ws, mine, 4, gl_CooperativeMatrixLayoutRowMajor);
            coopMatStore(acc[i][j + 1u], ws, mine + 64u, 4, gl_CooperativeMatrixLayoutRowMajor);
            subgroupBarrier();
            const uint t = first + (sub_m * FRAGMENTS_M + i) * 16u + row;
            for (uint e = 0; e < 16u && t < tokens; e++) {
                // Neighbouring invocations take neighbouring columns where they can: two share a row.
                const uint half_of = e / 8u, column = (lane & 1u) * 8u + (e & 7u);
                if (GATED != 0u) {
                    const uint n = p.group * (TILE_N / 2u) + (sub_n * FRAGMENTS_N + j) * 8u + column;
                    if (half_of == 0u && n < p.n)
                        product_end_gated(p, t, n, uintBitsToFloat(ws[mine + row * 4u + column / 4u][column & 3u]), uintBitsToFloat(ws[mine + 64u + row * 4u + column / 4u][column & 3u]));
                } else {
                    const uint n = p.group * TILE_N + (sub_n * FRAGMENTS_N + j + half_of) * 16u + column;
                    if (n < p.n) product_end(p, t, n, uintBitsToFloat(ws[mine + half_of * 64u + row * 4u + column / 4u][column & 3u]));
                }
            }
            subgroupBarrier();
        }
}

void main() {
    Part p;
    if (!product_part(gl_WorkGroupID.y, GATED != 0u ? TILE_N / 2u : TILE_N, p)) return;
    const uint id = gl_LocalInvocationID.x, first = gl_WorkGroupID.x * TILE_M, blocks = (k + 31u) / 32u, row_tiles = (p.n + 31u) / 32u;
    const uint sub_m = gl_SubgroupID / SUB_N, sub_n = gl_SubgroupID % SUB_N;
    if (tile_has_table(TYPE0) && id < 16u) table[id] = packHalf2x16(vec2(tile_table(TYPE0, id), 0));
    [[unroll]] for (uint i = 0; i < FRAGMENTS_M; i++)
        [[unroll]] for (uint j = 0; j < FRAGMENTS_N; j++) acc[i][j] = coopmat<float, gl_ScopeSubgroup, 16, 16, gl_MatrixUseAccumulator>(0);
    // Where this invocation's parts of the tiles lie.
    uvec2 w_tile[W_EACH];
    uint w_row[W_EACH];
    [[unroll]] for (uint i = 0; i < W_EACH; i++) {
        const uint r = (i * ORR_GROUP + id) / 2u;
        const uint row = GATED != 0u ? p.group * (TILE_N / 2u) + r / 32u * 16u + r % 16u : p.group * TILE_N + r;
        w_tile[i] = tile_row(GATED != 0u && (r & 16u) != 0u ? w1 : p.w, TYPE0, blocks, min(row / 32u, row_tiles - 1u));
        w_row[i] = row % 32u;
    }
    U32x4 x16 = U32x4(uvec2(x));
    Raw raw[W_EACH];
    uvec4 x_next[X_ROWS_EACH];
    for (uint block = 0; block <= blocks; block++) {
        const uint to = block & 1u;
        if (block < blocks) {
            [[unroll]] for (uint i = 0; i < W_EACH; i++) raw[i] = load_raw(TYPE0, w_tile[i], block, w_row[i], id & 1u);
            [[unroll]] for (uint i = 0; i < X_ROWS_EACH; i++) {
                const uint slot = i * ORR_GROUP + id;
                x_next[i] = x16.v[((first + slot / 4u) * blocks + block) * 4u + (slot & 3u)];
            }
        }
        barrier();
        if (block > 0u) multiply(to ^ 1u, sub_m, sub_n);
        if (block < blocks) {
            [[unroll]] for (uint i = 0; i < W_EACH; i++) store_raw(TYPE0, raw[i], (to * TILE_N + (i * ORR_GROUP + id) / 2u) * PITCH, id & 1u);
            [[unroll]] for (uint i = 0; i < X_ROWS_EACH; i++) {
                const uint slot = i * ORR_GROUP + id;
                xs[(to * TILE_M + slot / 4u) * PITCH + (slot & 3u)] = x_next[i];
            }
        }
    }
    finish(p, first, sub_m, sub_n);
}
