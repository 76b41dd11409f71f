// Device half of plugins/language/ops/moe_ffn/moe_ffn_vulkan.cpp
// Pairs of token and choice by expert, and tiles of up to 64 of one expert each. One workgroup. Pairs of an expert lie in any order: what is computed of
// one does not depend on its place. Pairs whose id is outside the experts are left out and fail the run.
#version 460
#extension GL_GOOGLE_include_directive : require
layout(local_size_x = 256) in;
#include "common/indices.glsl"
#include "language/moe_ffn/params.h"

const uint MOST = 2048, SIDE = 64;
shared uint place[MOST];  // pairs of an expert, then where its next one goes

void main() {
    const uint i = gl_LocalInvocationID.x, pairs = tokens * top_k;
    for (uint e = i; e < experts; e += 256) place[e] = 0;
    barrier();
    for (uint p = i; p < pairs; p += 256)
        if (uint(ids.v[p]) < experts) atomicAdd(place[ids.v[p]], 1);
        else tell_index(fault, uvec2(ids), p, 1, false, experts);
    barrier();
    if (i == 0) {
        uint at = 0, tile = 0;
        for (uint e = 0; e < experts; e++) {
            const uint count = place[e];
            place[e] = at;
            for (uint done = 0; done < count; done += SIDE) {
                tiles.v[1 + 3 * tile] = e;
                tiles.v[2 + 3 * tile] = at + done;
                tiles.v[3 + 3 * tile] = min(SIDE, count - done);
                tile++;
            }
            at += count;
        }
        tiles.v[0] = tile;
    }
    barrier();
    for (uint p = i; p < pairs; p += 256)
        if (uint(ids.v[p]) < experts) order.v[atomicAdd(place[ids.v[p]], 1)] = p;
}
