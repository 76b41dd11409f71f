// Device half of plugins/language/ops/moe_ffn/moe_ffn_vulkan.cpp
// h[t, j] = act(gate[e] x[t]) * (up[e] x[t]);  DOWN: partial[t, j] = down[e] h[t, j],  e = ids[t, j]
// One workgroup: up to 64 pairs (t, j) of one expert, gathered by index, by 64 rows of its weights, 32 columns at a time through shared memory. An
// invocation has 4 by 4. A sum runs over the columns in order.
#version 460
#extension GL_GOOGLE_include_directive : require
layout(local_size_x = 256) in;
#include "common/activation.glsl"
#include "common/tiles.glsl"
#include "language/moe_ffn/params.h"

layout(constant_id = 0) const uint TYPE0 = 0;  // TILE_* of gate or down
layout(constant_id = 1) const uint TYPE1 = 0;  // of up
layout(constant_id = 2) const uint ACT = 0;    // ACT_*

const uint SIDE = 64, PITCH = SIDE / 4 + 1, NONE = 0xffffffffu;
#ifdef DOWN
const uint SETS = 1;
#else
const uint SETS = 2;
#endif
shared vec4 xs[32 * PITCH];         // [column][pair]
shared vec4 ws[SETS * 32 * PITCH];  // [column][weight row]
shared uint pairs[SIDE];

// 8 columns of a block of 64 weight rows: a row and two quads an invocation.
void stage_weights(uint type, uint set, uvec2 w, uint expert, uint outputs, uint first, uint block, uint blocks) {
    const uint in_tile = gl_LocalInvocationID.x % SIDE, part = gl_LocalInvocationID.x / SIDE, n = first + in_tile;
    uvec2 row_tile = uvec2(0);
    vec4 scales = vec4(0);
    if (n < outputs) {
        row_tile = tile_row(w, type, blocks, expert * ((outputs + 31) / 32) + n / 32);
        if (!tile_is_float(type)) scales = tile_scales(type, tile_params(type, row_tile, block, n % 32));
    }
    [[unroll]] for (uint i = 0; i < 2; i++) {
        const uint q = part * 2 + i;
        vec4 v = vec4(0);
        if (n < outputs) v = tile_quad(type, address_plus(row_tile, tile_at(type, block)), n % 32, q, scales);
        [[unroll]] for (uint j = 0; j < 4; j++) ws[(set * 32 + q * 4 + j) * PITCH + in_tile / 4][in_tile & 3u] = v[j];
    }
}

void main() {
    const uint group = gl_WorkGroupID.y * gl_NumWorkGroups.x + gl_WorkGroupID.x, i = gl_LocalInvocationID.x;
#ifdef DOWN
    const uint outputs = E, width = F;
#else
    const uint outputs = F, width = E;
#endif
    const uint parts = (outputs + SIDE - 1) / SIDE, blocks = (width + 31) / 32, tile = group / parts, first = group % parts * SIDE;
    if (tile >= tiles.v[0]) return;
    const uint expert = tiles.v[1 + 3 * tile], count = tiles.v[3 + 3 * tile];
    if (i < SIDE) pairs[i] = i < count ? order.v[tiles.v[2 + 3 * tile] + i] : NONE;
    const uint tx = i % 16, ty = i / 16;
    vec4 acc[SETS * 4];
    [[unroll]] for (uint n = 0; n < SETS * 4; n++) acc[n] = vec4(0);

    for (uint block = 0; block < blocks; block++) {
        barrier();
        [[unroll]] for (uint n = 0; n < SIDE * 32 / 256; n++) {
            const uint slot = n * 256 + i, t = slot / 32, c = slot % 32, pair = pairs[t], column = block * 32 + c;
#ifdef DOWN
            xs[c * PITCH + t / 4][t & 3u] = pair != NONE && column < width ? h.v[pair * width + column] : 0.0;
#else
            xs[c * PITCH + t / 4][t & 3u] = pair != NONE && column < width ? x.v[pair / top_k * width + column] : 0.0;
#endif
        }
#ifdef DOWN
        stage_weights(TYPE0, 0, down, expert, outputs, first, block, blocks);
#else
        stage_weights(TYPE0, 0, gate, expert, outputs, first, block, blocks);
        stage_weights(TYPE1, 1, up, expert, outputs, first, block, blocks);
#endif
        barrier();
        for (uint c = 0; c < 32; c++) {
            const vec4 a = xs[c * PITCH + ty];
            [[unroll]] for (uint s = 0; s < SETS; s++) {
                const vec4 w = ws[(s * 32 + c) * PITCH + tx];
                [[unroll]] for (uint e = 0; e < 4; e++) acc[s * 4 + e] += a[e] * w;
            }
        }
    }
    [[unroll]] for (uint e = 0; e < 4; e++) {
        const uint pair = pairs[ty * 4 + e];
        if (pair == NONE) continue;
        [[unroll]] for (uint j = 0; j < 4; j++) {
            const uint n = first + tx * 4 + j;
            if (n >= outputs) continue;
#ifdef DOWN
            partial.v[pair * outputs + n] = acc[e][j];
#else
            h.v[pair * outputs + n] = activate(ACT, acc[e][j]) * acc[4 + e][j];
#endif
        }
    }
}
