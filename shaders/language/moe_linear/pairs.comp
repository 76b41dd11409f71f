// Device half of plugins/language/ops/moe_linear/moe_linear_vulkan.cpp
// y[p] = w[ids[p]] x[p / pairs_per_row]
// One workgroup: 32 rows of an expert's weight for one pair. Invocation i has row i % 32 and the blocks of 32 columns congruent to i / 32 modulo 8, so that a sum's order
// depends on the width alone. An id outside the experts fails the run and gives zeros. Shazeer et al. 2017, arXiv:1701.06538
#version 460
#extension GL_GOOGLE_include_directive : require
layout(local_size_x = 256) in;
#include "common/indices.glsl"
#include "common/tiles.glsl"
#include "language/moe_linear/params.h"

layout(constant_id = 0) const uint TYPE = 0;  // TILE_* of w

shared float parts[256];

void main() {
    const uint group = gl_WorkGroupID.y * gl_NumWorkGroups.x + gl_WorkGroupID.x, i = gl_LocalInvocationID.x;
    const uint row_tiles = (N + 31) / 32, pair = group / row_tiles, at = group % row_tiles;
    if (pair >= pairs) return;  // the whole group agrees
    const uint e = uint(ids.v[pair]), from = pair / pairs_per_row * K, row = i % 32, blocks = (K + 31) / 32;
    float sum = 0;
    if (e < experts) {
        const uvec2 row_tile = tile_row(w, TYPE, blocks, e * row_tiles + at);
        for (uint block = i / 32; block < blocks; block += 8) {
            const uvec2 tile = address_plus(row_tile, tile_at(TYPE, block));
            const vec4 scales = tile_is_float(TYPE) ? vec4(0) : tile_scales(TYPE, tile_params(TYPE, row_tile, block, row));
            [[unroll]] for (uint q = 0; q < 8; q++) {
                vec4 v = vec4(0);
                [[unroll]] for (uint c = 0; c < 4; c++)
                    if (block * 32 + q * 4 + c < K) v[c] = x.v[from + block * 32 + q * 4 + c];
                sum += dot(tile_quad(TYPE, tile, row, q, scales), v);
            }
        }
    } else if (at == 0 && i == 0) {
        tell_index(fault, uvec2(ids), pair, 1, false, experts);
    }
    parts[i] = sum;
    barrier();
    const uint n = at * 32 + i;
    if (i >= 32 || n >= N) return;
    float all = 0;
    for (uint slot = 0; slot < 8; slot++) all += parts[slot * 32 + i];
    y.v[pair * N + n] = all;
}
