// Device half of plugins/language/ops/moe_ffn/moe_ffn_vulkan.cpp
// h[t, j] = act(gate[e] x[t]) * (up[e] x[t]);  DOWN: y[t] = sum_j weights[t, j] down[e] h[t, j],  e = ids[t, j]
// One workgroup: 32 rows of the weights, for one token and expert, or one token. Invocation i has row i % 32 and the blocks of 32 columns congruent to
// i / 32 modulo 8, so that a sum's order depends on the widths alone. An id outside the experts fails the run. Shazeer et al. 2017, arXiv:1701.06538
#version 460
#extension GL_GOOGLE_include_directive : require
layout(local_size_x = 256) in;
#include "common/activation.glsl"
#include "common/indices.glsl"
#include "common/tiles.glsl"
#include "language/moe_ffn/params.h"

layout(constant_id = 0) const uint TYPE0 = 0;  // TILE_* of gate or down
layout(constant_id = 1) const uint TYPE1 = 0;  // of up
layout(constant_id = 2) const uint ACT = 0;    // ACT_*

shared vec2 parts[256];

vec4 load_x(F32 from, uint at, uint column, uint width) {
    vec4 v = vec4(0);
    [[unroll]] for (uint i = 0; i < 4; i++)
        if (column + i < width) v[i] = from.v[at + column + i];
    return v;
}

// This invocation's part of row tile `index` times the `width` numbers at from[at].
float multiply(uint type, uvec2 w, uint index, F32 from, uint at, uint width) {
    const uint row = gl_LocalInvocationID.x % 32, blocks = (width + 31) / 32;
    const uvec2 row_tile = tile_row(w, type, blocks, index);
    float sum = 0;
    for (uint block = gl_LocalInvocationID.x / 32; block < blocks; block += 8) {
        const uvec2 tile = address_plus(row_tile, tile_at(type, block));
        const vec4 scales = tile_is_float(type) ? vec4(0) : tile_scales(type, tile_params(type, row_tile, block, row));
        [[unroll]] for (uint q = 0; q < 8; q++) sum += dot(tile_quad(type, tile, row, q, scales), load_x(from, at, block * 32 + q * 4, width));
    }
    return sum;
}

void main() {
    const uint group = gl_WorkGroupID.y * gl_NumWorkGroups.x + gl_WorkGroupID.x, i = gl_LocalInvocationID.x;
#ifdef DOWN
    const uint outputs = E, row_tiles = (E + 31) / 32, t = group / row_tiles, at = group % row_tiles;
    if (t >= tokens) return;
    vec2 sum = vec2(0);
    for (uint j = 0; j < top_k; j++) {
        const uint pair = t * top_k + j, e = uint(ids.v[pair]);
        if (e < experts) sum.x += weights.v[pair] * multiply(TYPE0, down, e * row_tiles + at, h, pair * F, F);
    }
#else
    const uint outputs = F, row_tiles = (F + 31) / 32, pair = group / row_tiles, at = group % row_tiles;
    if (pair >= tokens * top_k) return;
    const uint e = uint(ids.v[pair]), from = pair / top_k * E;
    if (e >= experts) {  // the whole group agrees
        if (at == 0 && i == 0) tell_index(fault, uvec2(ids), pair, 1, false, experts);
        return;
    }
    const vec2 sum = vec2(multiply(TYPE0, gate, e * row_tiles + at, x, from, E), multiply(TYPE1, up, e * row_tiles + at, x, from, E));
#endif
    parts[i] = sum;
    barrier();
    const uint n = at * 32 + i;
    if (i >= 32 || n >= outputs) return;
    vec2 all = vec2(0);
    for (uint slot = 0; slot < 8; slot++) all += parts[slot * 32 + i];
#ifdef DOWN
    y.v[t * E + n] = all.x;
#else
    h.v[pair * F + n] = activate(ACT, all.x) * all.y;
#endif
}
