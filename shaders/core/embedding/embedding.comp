// Device half of plugins/core/ops/embedding/embedding_vulkan.cpp
// y[i, e] = scale * table[ids[i], e]; NaN where an id lies outside the table, which fails the run. An invocation writes four elements.
#version 460
#extension GL_GOOGLE_include_directive : require
layout(local_size_x = 256) in;
layout(constant_id = 0) const uint TYPE = 0;
#include "common/indices.glsl"
#include "common/tiles.glsl"
#include "core/embedding/params.h"

void main() {
    const uint blocks = (cols + 31u) / 32u, quads = blocks * 8u, per_row = (quads + 255u) / 256u;
    const uint group = gl_WorkGroupID.y * gl_NumWorkGroups.x + gl_WorkGroupID.x;
    const uint i = group / per_row, quad = group % per_row * 256u + gl_LocalInvocationID.x;
    if (i >= count || quad >= quads) return;
    const uint id = load_index(ids, i * ids_step, wide != 0u, rows);
    vec4 value = vec4(uintBitsToFloat(0x7fc00000u));
    if (id == 0xffffffffu) {
        if (quad == 0u) tell_index(fault, ids, i, ids_step, wide != 0u, rows);
    } else {
        const uvec2 row_tile = tile_row(table, TYPE, blocks, id / 32u);
        const uint block = quad / 8u, row = id % 32u;
        const vec4 scales = tile_is_float(TYPE) ? vec4(0) : tile_scales(TYPE, tile_params(TYPE, row_tile, block, row));
        value = tile_quad(TYPE, address_plus(row_tile, tile_at(TYPE, block)), row, quad % 8u, scales) * scale;
    }
    for (uint e = 0; e < 4u; e++)
        if (quad * 4u + e < cols) y.v[i * cols + quad * 4u + e] = value[e];
}
