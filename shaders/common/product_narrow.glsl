// Some rows of x in f16 (product_rows.glsl), X_ROWS to a workgroup, times weights with cooperative matrices of 16 x 16 x 16, sums in f32: decoding for
// several sequences. A workgroup takes 16 x FRAGMENTS weight rows; its subgroups share k out, 64 columns at a time each, and add up what they have in the
// end, so the order of sums depends on k and GROUP alone. Weights become f16 in shared memory of the subgroup's own: none waits for another before the end.
// What a step needs is read DEPTH steps ahead, and without branches: where branches meet, drivers wait for all that is on its way (on an H200 half of the
// time).
// Gated: a subgroup's even fragments are of the first weight, the odd ones of the second.
#extension GL_KHR_cooperative_matrix : require
#extension GL_KHR_memory_scope_semantics : require
#extension GL_KHR_shader_subgroup_basic : require
layout(constant_id = 9) const uint GROUP = 256;
layout(constant_id = 10) const uint X_ROWS = 8;  // 8, 16
layout(local_size_x_id = 9) in;
#include "common/product_halves.glsl"

const uint SUBGROUPS = GROUP / 32, TILE_N = FRAGMENTS * 16;
const uint PITCH = 9;            // uvec4 of a row of 64 f16: 144 bytes, so that 8 rows lie in different banks
const uint X_EACH = X_ROWS / 4;  // uvec4 of x of an invocation
shared uvec4 ws[SUBGROUPS * TILE_N * PITCH];
shared uvec4 xs[(SUBGROUPS * X_ROWS + 16 - X_ROWS) * PITCH];  // a matrix has 16 rows: the last are the next subgroup's, their products are not used

coopmat<float, gl_ScopeSubgroup, 16, 16, gl_MatrixUseAccumulator> acc[FRAGMENTS];
Raw w_first[DEPTH][FRAGMENTS], w_second[DEPTH][FRAGMENTS];  // halves of a row's block
uvec2 w_from[FRAGMENTS];
uint w_row[FRAGMENTS];
uvec4 x_next[DEPTH][X_EACH];

// What a lane brings: of two blocks the one that `block_of` tells, of a row of the tile.
uint row_of(uint i) { return (i * 32u + gl_SubgroupInvocationID) % TILE_N; }
uint block_of(uint i) { return (i * 32u + gl_SubgroupInvocationID) / TILE_N; }
bool is_second(uint r) { return GATED != 0u && (r & 16u) != 0u; }

void find(Part p, uint blocks) {
    const uint last_tile = (p.n + 31u) / 32u - 1u;
    [[unroll]] for (uint i = 0; i < FRAGMENTS; i++) {
        const uint r = row_of(i), row = GATED != 0u ? p.group * (TILE_N / 2u) + r / 32u * 16u + r % 16u : p.group * TILE_N + r;
        w_from[i] = weight_tile(is_second(r) ? w1 : p.w, TYPE0, blocks, min(row / 32u, last_tile));
        w_row[i] = row % 32u;
    }
}

// Columns 32 block …; of a block past the end the last one's weights, which meet zeros of x.
void fetch(uint set, uint first, uint block, uint blocks) {
    const uint pitch = (blocks + 1u) / 2u * 8u, lane = gl_SubgroupInvocationID, at = min(block, (blocks - 1u) / 2u * 2u);
    [[unroll]] for (uint i = 0; i < FRAGMENTS; i++) load_raw_pair(TYPE0, w_from[i], min(at + block_of(i), blocks - 1u), w_row[i], w_first[set][i], w_second[set][i]);
    [[unroll]] for (uint i = 0; i < X_EACH; i++) x_next[set][i] = U32x4(uvec2(x)).v[(first + i * 4u + lane / 8u) * pitch + at * 4u + lane % 8u];
}

void put(uint set, bool inside) {
    const uint lane = gl_SubgroupInvocationID;
    [[unroll]] for (uint i = 0; i < FRAGMENTS; i++) {
        const uint to = (gl_SubgroupID * TILE_N + row_of(i)) * PITCH + block_of(i) * 4u;
        ws[to] = half_of_block(TYPE0, w_first[set][i], 0, 0);
        ws[to + 1u] = half_of_block(TYPE0, w_second[set][i], 1, 0);
        ws[to + 2u] = half_of_block(TYPE0, w_first[set][i], 0, 1);
        ws[to + 3u] = half_of_block(TYPE0, w_second[set][i], 1, 1);
    }
    [[unroll]] for (uint i = 0; i < X_EACH; i++) xs[(gl_SubgroupID * X_ROWS + i * 4u + lane / 8u) * PITCH + lane % 8u] = inside ? x_next[set][i] : uvec4(0);
}

void multiply() {
    coopmat<float16_t, gl_ScopeSubgroup, 16, 16, gl_MatrixUseA> a;
    coopmat<float16_t, gl_ScopeSubgroup, 16, 16, gl_MatrixUseB> b;
    [[unroll]] for (uint c = 0; c < 4u; c++) {
        coopMatLoad(b, xs, gl_SubgroupID * X_ROWS * PITCH + c * 2u, PITCH, gl_CooperativeMatrixLayoutColumnMajor);
        [[unroll]] for (uint f = 0; f < FRAGMENTS; f++) {
            coopMatLoad(a, ws, (gl_SubgroupID * TILE_N + f * 16u) * PITCH + c * 2u, PITCH, gl_CooperativeMatrixLayoutRowMajor);
            acc[f] = coopMatMulAdd(a, b, acc[f]);
        }
    }
}

// An element's sums over the subgroups.
float total(uint fragment, uint token, uint row) {
    float sum = 0;
    for (uint s = 0; s < SUBGROUPS; s++) sum += uintBitsToFloat(ws[s * TILE_N * PITCH + fragment * 64u + token * 4u + row / 4u][row & 3u]);
    return sum;
}

#include "common/product_end_rows.glsl"

void finish(Part p, uint first) {
    [[unroll]] for (uint f = 0; f < FRAGMENTS; f++) coopMatStore(acc[f], ws, gl_SubgroupID * TILE_N * PITCH + f * 64u, 4, gl_CooperativeMatrixLayoutColumnMajor);
    barrier();
    end_rows(p, first);
}

void main() {
    Part p;
    if (!product_part(gl_WorkGroupID.y, GATED != 0u ? TILE_N / 2u : TILE_N, p)) return;
    const uint first = gl_WorkGroupID.x * X_ROWS, blocks = (k + 31u) / 32u;
    fill_table();
    [[unroll]] for (uint f = 0; f < FRAGMENTS; f++) acc[f] = coopmat<float, gl_ScopeSubgroup, 16, 16, gl_MatrixUseAccumulator>(0);
    find(p, blocks);
    const uint begin = gl_SubgroupID * 2u, step = SUBGROUPS * 2u;
    [[unroll]] for (uint set = 0; set < DEPTH; set++) fetch(set, first, begin + set * step, blocks);
    barrier();  // the table
    [[dont_unroll]] for (uint block = begin; block < blocks; block += DEPTH * step) {
        [[unroll]] for (uint set = 0; set < DEPTH; set++) {
            put(set, block + set * step < blocks);
            subgroupBarrier();
            fetch(set, first, block + (DEPTH + set) * step, blocks);
            multiply();
            subgroupBarrier();
        }
    }
    finish(p, first);
}
