// Packed weights as rows of f16 for product_f16.glsl (TILE_HALVES): [N, 64 x pairs of blocks], zeros past k. An invocation unpacks 64 columns of a row, a
// workgroup 32 rows by 512 columns. Params: product_params.h, w0 [n0, k] -> y0.
layout(local_size_x = 256) in;
#include "common/product_halves.glsl"

void main() {
    const uint id = gl_LocalInvocationID.x, blocks = (k + 31u) / 32u, pairs = (blocks + 1u) / 2u, columns = (pairs + 7u) / 8u;
    const uint group = gl_WorkGroupID.y * gl_NumWorkGroups.x + gl_WorkGroupID.x;
    const uint row = group / columns * 32u + id % 32u, pair = group % columns * 8u + id / 32u;
    fill_table();
    barrier();
    if (row >= n0 || pair >= pairs) return;
    const uvec2 tile = tile_row(w0, TYPE0, blocks, row / 32u);
    uvec4 v[8];
    [[unroll]] for (uint b = 0; b < 2u; b++)
        [[unroll]] for (uint u = 0; u < 2u; u++) {
            const bool inside = pair * 2u + b < blocks;
            Raw r;
            if (inside) r = load_raw(TYPE0, tile, pair * 2u + b, row % 32u, u);
            v[b * 4u + u] = inside ? half_of_block(TYPE0, r, u, 0) : uvec4(0);
            v[b * 4u + u + 2u] = inside ? half_of_block(TYPE0, r, u, 1) : uvec4(0);
        }
    [[unroll]] for (uint i = 0; i < 8u; i++) U32x4(uvec2(y0)).v[(row * pairs + pair) * 8u + i] = v[i];
}
