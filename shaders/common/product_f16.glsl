// Rows of x in f16 (product_rows.glsl) times weights with cooperative matrices of 16 x 16 x 16, sums in f32. A workgroup of SUB_M x SUB_N
// subgroups computes TILE_M rows of x by TILE_N weight rows, a subgroup FRAGMENTS_M x FRAGMENTS_N fragments of it. 64 columns at a time go through
// shared memory, where weights arrive as f16, while the next 64 are on their way in registers as they lie. Gated: a subgroup's even fragments are of
// the first weight, the odd ones of the second.
#extension GL_KHR_cooperative_matrix : require
#extension GL_KHR_memory_scope_semantics : require
#extension GL_KHR_shader_subgroup_basic : require
#define ORR_GROUP (SUB_M * SUB_N * 32)
layout(local_size_x = ORR_GROUP) in;
#include "common/product_halves.glsl"

const uint TILE_M = SUB_M * FRAGMENTS_M * 16, TILE_N = SUB_N * FRAGMENTS_N * 16;
const uint PITCH = 9;  // uvec4 of a row of 64 f16: 144 bytes, so that 8 rows lie in different banks
const uint X_EACH = TILE_M * 8 / ORR_GROUP, W_EACH = TILE_N * 4 / ORR_GROUP;  // of an invocation: uvec4 of x, halves of a row's block
shared uvec4 xs[TILE_M * PITCH];
shared uvec4 ws[TILE_N * PITCH];

coopmat<float, gl_ScopeSubgroup, 16, 16, gl_MatrixUseAccumulator> acc[FRAGMENTS_M][FRAGMENTS_N];

void multiply(uint sub_m, uint sub_n) {
    coopmat<float16_t, gl_ScopeSubgroup, 16, 16, gl_MatrixUseA> a[FRAGMENTS_M];
    coopmat<float16_t, gl_ScopeSubgroup, 16, 16, gl_MatrixUseB> b;
    [[unroll]] for (uint c = 0; c < 4u; c++) {
        [[unroll]] for (uint i = 0; i < FRAGMENTS_M; i++) coopMatLoad(a[i], xs, (sub_m * FRAGMENTS_M + i) * 16u * PITCH + c * 2u, PITCH, gl_CooperativeMatrixLayoutRowMajor);
        [[unroll]] for (uint j = 0; j < FRAGMENTS_N; j++) {
            coopMatLoad(b, ws, (sub_n * FRAGMENTS_N + j) * 16u * PITCH + c * 2u, PITCH, gl_CooperativeMatrixLayoutColumnMajor);
            [[unroll]] for (uint i = 0; i < FRAGMENTS_M; i++) acc[i][j] = coopMatMulAdd(a[i], b, acc[i][j]);
        }
    }
}

// Fragments pass through shared memory, a subgroup's own, to learn which element is whose: neighbours take neighbouring columns, of one row of two
// fragments or, gated, of two rows.
void finish(Part p, uint first, uint sub_m, uint sub_n) {
    const uint lane = gl_SubgroupInvocationID, mine = gl_SubgroupID * 128u, column = lane % 16u, half_of = lane / 16u;
    barrier();
    [[unroll]] for (uint i = 0; i < FRAGMENTS_M; i++)
        [[unroll]] for (uint j = 0; j < FRAGMENTS_N; j += 2u) {
            coopMatStore(acc[i][j], ws, mine, 4, gl_CooperativeMatrixLayoutRowMajor);
            coopMatStore(acc[i][j + 1u], ws, mine + 64u, 4, gl_CooperativeMatrixLayoutRowMajor);
            subgroupBarrier();
            const uint from = first + (sub_m * FRAGMENTS_M + i) * 16u;
            if (GATED != 0u) {
                const uint n = p.group * (TILE_N / 2u) + (sub_n * FRAGMENTS_N + j) * 8u + column;
                const float gate_bias = product_bias(bias0, bias_types & 0xffu, min(n, p.n - 1u)), up_bias = product_bias(bias1, bias_types >> 8 & 0xffu, min(n, p.n - 1u));
                [[unroll]] for (uint e = 0; e < 8u; e++) {
                    const uint row = e * 2u + half_of, at = mine + row * 4u + column / 4u;
                    const float v = activate(ACT, uintBitsToFloat(ws[at][column & 3u]) + gate_bias) * (uintBitsToFloat(ws[at + 64u][column & 3u]) + up_bias);
                    if (from + row < tokens && n < p.n) p.y.v[(from + row) * p.n + n] = v;
                }
            } else {
                const uint n = p.group * TILE_N + (sub_n * FRAGMENTS_N + j + half_of) * 16u + column;
                const float bias = product_bias(p.bias, p.bias_type, min(n, p.n - 1u));
                float rest[16];
                [[unroll]] for (uint row = 0; row < 16u; row++) rest[row] = 0;
                if (residual != uvec2(0))
                    [[unroll]] for (uint row = 0; row < 16u; row++) rest[row] = product_residual(p, from + row, n);
                [[unroll]] for (uint row = 0; row < 16u; row++) {
                    const float v = product_value(uintBitsToFloat(ws[mine + half_of * 64u + row * 4u + column / 4u][column & 3u]), bias) + rest[row];
                    if (from + row < tokens && n < p.n) p.y.v[(from + row) * p.n + n] = v;
                }
            }
            subgroupBarrier();
        }
}

// Weight row of row r of the tile.
uint weight_row(Part p, uint r) { return GATED != 0u ? p.group * (TILE_N / 2u) + r / 32u * 16u + r % 16u : p.group * TILE_N + r; }
bool is_second(uint r) { return GATED != 0u && (r & 16u) != 0u; }

// What this invocation puts into the next stage: of the weights half `id % 2` of a row's block. Where it lies is found once: doing so in each stage cost
// a quarter of the time of f16 weights on an H200.
Raw w_next[W_EACH];
uvec4 x_next[X_EACH];
uvec2 w_from[W_EACH];
uint w_row[W_EACH], x_from[X_EACH];

void find(Part p, uint first, uint blocks) {
    const uint id = gl_LocalInvocationID.x, pitch = (blocks + 1u) / 2u * 8u, last_tile = (p.n + 31u) / 32u - 1u;  // pitch: uvec4 of a row in f16
    [[unroll]] for (uint i = 0; i < W_EACH; i++) {
        const uint r = (i * ORR_GROUP + id) / 2u % TILE_N, row = weight_row(p, r);
        w_from[i] = weight_tile(is_second(r) ? w1 : p.w, TYPE0, blocks, min(row / 32u, last_tile));
        w_row[i] = row % 32u;
    }
    [[unroll]] for (uint i = 0; i < X_EACH; i++) {
        const uint slot = i * ORR_GROUP + id;
        x_from[i] = (first + slot / 8u) * pitch + slot % 8u;
    }
}

// Without a branch: where branches meet, drivers wait for all that is on its way (packed weights took 1.4 times as long on an H200). Past the last block
// its weights come once more; they meet zeros of x.
void fetch(uint block, uint blocks) {
    const uint id = gl_LocalInvocationID.x;
    [[unroll]] for (uint i = 0; i < W_EACH; i++)
        w_next[i] = load_raw(TYPE0, w_from[i], min(block + (i * ORR_GROUP + id) / 2u / TILE_N, blocks - 1u), w_row[i], id & 1u);
    [[unroll]] for (uint i = 0; i < X_EACH; i++) x_next[i] = U32x4(uvec2(x)).v[x_from[i] + block * 4u];
}

void put() {
    const uint id = gl_LocalInvocationID.x;
    [[unroll]] for (uint i = 0; i < W_EACH; i++) {
        const uint slot = i * ORR_GROUP + id, to = slot / 2u % TILE_N * PITCH + slot / 2u / TILE_N * 4u + (id & 1u);
        ws[to] = half_of_block(TYPE0, w_next[i], id & 1u, 0);
        ws[to + 2u] = half_of_block(TYPE0, w_next[i], id & 1u, 1);
    }
    [[unroll]] for (uint i = 0; i < X_EACH; i++) {
        const uint slot = i * ORR_GROUP + id;
        xs[slot / 8u * PITCH + slot % 8u] = x_next[i];
    }
}

void main() {
    Part p;
    if (!product_part(gl_WorkGroupID.y, GATED != 0u ? TILE_N / 2u : TILE_N, p)) return;
    const uint first = gl_WorkGroupID.x * TILE_M, blocks = (k + 31u) / 32u;
    const uint sub_m = gl_SubgroupID / SUB_N, sub_n = gl_SubgroupID % SUB_N;
    fill_table();
    [[unroll]] for (uint i = 0; i < FRAGMENTS_M; i++)
        [[unroll]] for (uint j = 0; j < FRAGMENTS_N; j++) acc[i][j] = coopmat<float, gl_ScopeSubgroup, 16, 16, gl_MatrixUseAccumulator>(0);
    find(p, first, blocks);
    fetch(0, blocks);
    barrier();  // the table
    [[dont_unroll]] for (uint block = 0; block < blocks; block += 2u) {
        put();
        barrier();
        fetch(min(block + 2u, (blocks - 1u) / 2u * 2u), blocks);
        multiply(sub_m, sub_n);
        barrier();
    }
    finish(p, first, sub_m, sub_n);
}
