// Some rows of x in f16 (product_rows.glsl), X_ROWS to a workgroup, times weights with cooperative matrices of 16 x 8 x 16, sums in f32: decoding for
// several sequences. Packed weights go from memory into the matrices' registers: nothing passes through shared memory, no subgroup waits for another
// before the end (on an H200 packed weights take 0.6 of product_narrow.glsl's time). A workgroup takes 16 x FRAGMENTS weight rows; its subgroups share k
// out, 128 columns at a time each, and add up what they have in the end, so the order of sums depends on k and GROUP alone. What a step needs is read a
// step ahead, and without branches (product_narrow.glsl). Gated: even fragments are of the first weight, the odd ones of the second.
//
// VK_KHR_cooperative_matrix leaves open which elements an invocation holds. This form takes what NVIDIA's driver does (the fragments of the PTX
// instruction mma.m16n8k16): invocation 4 g + t has of A columns 2t, 2t + 1, 2t + 8, 2t + 9 of row g, then of row g + 8; of B those rows of column g. A
// product does not depend on the order of k: the columns of t are those of block t of four, a quad of it a step. Where a driver does otherwise, the
// device's self-test turns the form down.
#extension GL_KHR_cooperative_matrix : require
#extension GL_KHR_memory_scope_semantics : require
#extension GL_KHR_shader_subgroup_basic : require
layout(constant_id = 9) const uint GROUP = 256;
layout(constant_id = 10) const uint X_ROWS = 8;  // 8, 16
layout(local_size_x_id = 9) in;
#include "common/product_halves.glsl"

const uint SUBGROUPS = GROUP / 32, TILE_N = FRAGMENTS * 16, X_FRAGMENTS = X_ROWS / 8, PART = FRAGMENTS * X_FRAGMENTS * 128;
shared float sums[SUBGROUPS * PART];

coopmat<float, gl_ScopeSubgroup, 16, 8, gl_MatrixUseAccumulator> acc[FRAGMENTS][2];
Raw w_first[FRAGMENTS][2], w_second[FRAGMENTS][2];  // halves of a block of rows g and g + 8
uvec2 w_from[FRAGMENTS];
uint w_row[FRAGMENTS];
uvec4 x_next[2][4];  // a block of column g

void find(Part p, uint blocks) {
    const uint last_tile = (p.n + 31u) / 32u - 1u;
    [[unroll]] for (uint f = 0; f < FRAGMENTS; f++) {
        const uint row = GATED != 0u ? (p.group * (FRAGMENTS / 2u) + f / 2u) * 16u : p.group * TILE_N + f * 16u;
        w_from[f] = weight_tile(GATED != 0u && (f & 1u) != 0u ? w1 : p.w, TYPE0, blocks, min(row / 32u, last_tile));
        w_row[f] = row % 32u + gl_SubgroupInvocationID / 4u;
    }
}

// Columns 32 block … of which this invocation takes the block that is its own; past the end the last one's weights, which meet zeros of x.
void fetch(uint first, uint block, uint blocks) {
    const uint pitch = (blocks + 1u) / 2u * 8u, own = min(block + gl_SubgroupInvocationID % 4u, blocks - 1u);
    [[unroll]] for (uint f = 0; f < FRAGMENTS; f++)
        [[unroll]] for (uint h = 0; h < 2u; h++) load_raw_pair(TYPE0, w_from[f], own, w_row[f] + h * 8u, w_first[f][h], w_second[f][h]);
    [[unroll]] for (uint n = 0; n < X_FRAGMENTS; n++)
        [[unroll]] for (uint i = 0; i < 4u; i++) x_next[n][i] = U32x4(uvec2(x)).v[(first + n * 8u + gl_SubgroupInvocationID / 4u) * pitch + own * 4u + i];
}

void multiply(bool inside) {
    coopmat<float16_t, gl_ScopeSubgroup, 16, 16, gl_MatrixUseA> a;
    coopmat<float16_t, gl_ScopeSubgroup, 16, 8, gl_MatrixUseB> b[2];
    [[unroll]] for (uint pair = 0; pair < 4u; pair++) {  // of quads
        uvec4 w[FRAGMENTS][2];
        [[unroll]] for (uint f = 0; f < FRAGMENTS; f++)
            [[unroll]] for (uint h = 0; h < 2u; h++) {
                if ((pair & 1u) == 0u) w[f][h] = half_of_block(TYPE0, w_first[f][h], 0, pair >> 1);
                else w[f][h] = half_of_block(TYPE0, w_second[f][h], 1, pair >> 1);
            }
        [[unroll]] for (uint q = 0; q < 2u; q++) {
            [[unroll]] for (uint n = 0; n < X_FRAGMENTS; n++) {
                const uvec2 words = inside ? (q == 0u ? x_next[n][pair].xy : x_next[n][pair].zw) : uvec2(0);
                const f16vec2 even = unpackFloat2x16(words.x), odd = unpackFloat2x16(words.y);
                b[n][0] = even.x, b[n][1] = even.y, b[n][2] = odd.x, b[n][3] = odd.y;
            }
            [[unroll]] for (uint f = 0; f < FRAGMENTS; f++) {
                [[unroll]] for (uint h = 0; h < 2u; h++) {
                    const uvec2 words = q == 0u ? w[f][h].xy : w[f][h].zw;
                    const f16vec2 even = unpackFloat2x16(words.x), odd = unpackFloat2x16(words.y);
                    a[h * 4u] = even.x, a[h * 4u + 1u] = even.y, a[h * 4u + 2u] = odd.x, a[h * 4u + 3u] = odd.y;
                }
                [[unroll]] for (uint n = 0; n < X_FRAGMENTS; n++) acc[f][n] = coopMatMulAdd(a, b[n], acc[f][n]);
            }
        }
    }
}

// An element's sums over the subgroups.
float total(uint fragment, uint token, uint row) {
    float sum = 0;
    for (uint s = 0; s < SUBGROUPS; s++) sum += sums[s * PART + (fragment * X_ROWS + token) * 16u + row];
    return sum;
}

#include "common/product_end_rows.glsl"

void finish(Part p, uint first) {
    [[unroll]] for (uint f = 0; f < FRAGMENTS; f++)
        [[unroll]] for (uint n = 0; n < X_FRAGMENTS; n++)
            coopMatStore(acc[f][n], sums, gl_SubgroupID * PART + (f * X_FRAGMENTS + n) * 128u, 16, gl_CooperativeMatrixLayoutColumnMajor);
    barrier();
    end_rows(p, first);
}

void main() {
    Part p;
    if (!product_part(gl_WorkGroupID.y, GATED != 0u ? TILE_N / 2u : TILE_N, p)) return;
    const uint first = gl_WorkGroupID.x * X_ROWS, blocks = (k + 31u) / 32u;
    fill_table();
    [[unroll]] for (uint f = 0; f < FRAGMENTS; f++)
        [[unroll]] for (uint n = 0; n < X_FRAGMENTS; n++) acc[f][n] = coopmat<float, gl_ScopeSubgroup, 16, 8, gl_MatrixUseAccumulator>(0);
    find(p, blocks);
    const uint begin = gl_SubgroupID * 4u, step = SUBGROUPS * 4u;
    fetch(first, begin, blocks);
    if (tile_has_table(TYPE0)) barrier();
    [[dont_unroll]] for (uint block = begin; block < blocks; block += step) {
        multiply(block + gl_SubgroupInvocationID % 4u < blocks);
        fetch(first, block + step, blocks);
    }
    finish(p, first);
}
