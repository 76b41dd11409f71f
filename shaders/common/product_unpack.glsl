// Packed weights as rows of f16 for product_f16.glsl (TILE_HALVES): [N, 64 x pairs of blocks], zeros past k. An invocation unpacks 64 columns of a row, a
// workgroup 32 rows by 256 columns, through shared memory so that neighbours write neighbouring words. Params: product_params.h, w0 [n0, k] -> y0.
layout(local_size_x = 128) in;
#include "common/product_halves.glsl"
const uint PITCH = 33;  // uvec4 of a row of 256 f16, and one that keeps rows in different banks
shared uvec4 rows[32 * PITCH];

void main() {
    const uint id = gl_LocalInvocationID.x, blocks = (k + 31u) / 32u, pairs = (blocks + 1u) / 2u, columns = (pairs + 3u) / 4u;
    const uint group = gl_WorkGroupID.y * gl_NumWorkGroups.x + gl_WorkGroupID.x, tile = group / columns, first = group % columns * 4u;
    if (tile * 32u >= n0) return;
    fill_table();
    barrier();
    const uvec2 weights = weight_tile(w0, TYPE0, blocks, tile);
    [[unroll]] for (uint b = 0; b < 2u; b++)
        [[unroll]] for (uint u = 0; u < 2u; u++) {
            const uint block = (first + id / 32u) * 2u + b, to = id % 32u * PITCH + id / 32u * 8u + b * 4u + u;
            const bool inside = block < blocks;
            Raw r;
            if (inside) r = load_raw(TYPE0, weights, block, id % 32u, u);
            rows[to] = inside ? half_of_block(TYPE0, r, u, 0) : uvec4(0);
            rows[to + 2u] = inside ? half_of_block(TYPE0, r, u, 1) : uvec4(0);
        }
    barrier();
    for (uint i = id; i < 32u * 32u; i += 128u) {
        const uint row = tile * 32u + i / 32u, at = i % 32u;
        if (row < n0 && first * 8u + at < pairs * 8u) U32x4(uvec2(y0)).v[row * pairs * 8u + first * 8u + at] = rows[i / 32u * PITCH + at];
    }
}
