// Device half of plugins/language/ops/moe_route/moe_route_vulkan.cpp
// p = softmax(logits); ids = the k largest, the lower id first among equals, NaN last; weights = p[ids] * scale
// One workgroup a row; k rounds of a tree that finds the best expert left. Shazeer et al. 2017, arXiv:1701.06538
#version 460
#extension GL_GOOGLE_include_directive : require
#define ORR_GROUP 64
layout(local_size_x = ORR_GROUP) in;
#include "common/memory.glsl"
#include "common/reduce.glsl"
#include "language/moe_route/params.h"

const uint MOST = 2048;  // experts
shared float score[MOST];
shared bool taken[MOST];
shared uint best[ORR_GROUP];

// Whether expert i goes before j; `experts` stands for none.
bool before(uint i, uint j) {
    if (i == experts || j == experts) return i != experts;
    const float a = score[i], b = score[j];
    if (isnan(a) || isnan(b)) return isnan(a) == isnan(b) ? i < j : !isnan(a);
    return a != b ? a > b : i < j;
}

void main() {
    const uint row = gl_WorkGroupID.y * gl_NumWorkGroups.x + gl_WorkGroupID.x, lane = gl_LocalInvocationID.x;
    if (row >= rows) return;
    for (uint e = lane; e < experts; e += ORR_GROUP) {
        score[e] = logits.v[row * row_stride + e];
        taken[e] = false;
    }
    barrier();
    float top = 0, chosen = 0;
    for (uint k = 0; k < top_k; k++) {
        uint mine = experts;
        for (uint e = lane; e < experts; e += ORR_GROUP)
            if (!taken[e] && before(e, mine)) mine = e;
        best[lane] = mine;
        barrier();
        for (uint step = ORR_GROUP / 2; step > 0; step >>= 1) {
            if (lane < step && before(best[lane + step], best[lane])) best[lane] = best[lane + step];
            barrier();
        }
        const uint winner = best[0];
        if (k == 0) top = score[winner];
        chosen += exp(score[winner] - top);
        barrier();
        if (lane == 0) {
            taken[winner] = true;
            ids.v[row * top_k + k] = int(winner);
        }
        barrier();
    }
    float mine = 0;
    for (uint e = lane; e < experts; e += ORR_GROUP) mine += exp(score[e] - top);
    const float all = group_sum(mine);
    // softmax over the chosen ones and its normalised form are the same ratio, but for a NaN among the others
    const float sum = softmax_first == 0 || (normalise != 0 && !isnan(all)) ? chosen : all;
    memoryBarrierBuffer();
    barrier();
    for (uint k = lane; k < top_k; k += ORR_GROUP) weights.v[row * top_k + k] = exp(score[ids.v[row * top_k + k]] - top) / sum * scale;
}
