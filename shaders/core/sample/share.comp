// Device half of plugins/core/ops/sample/sample_vulkan.cpp
// Top-p: the weight of those logits that top-k keeps, for each value of a digit of their key, below the digits found so far.
#version 460
#extension GL_GOOGLE_include_directive : require
#include "core/sample/sample.glsl"
#include "core/sample/search.glsl"

const uint PART = 0x1fffffu;  // 21 bits
shared uint low[SAMPLE_BINS];
shared uint high[SAMPLE_BINS];

void add(uint bin, uvec2 weight) {
    const uint at = ROW * words + SAMPLE_SHARES + 3u * (level * SAMPLE_BINS + bin);
    atomicAdd(work.v[at], weight.x & PART);
    atomicAdd(work.v[at + 1u], (weight.x >> 21 | weight.y << 11) & PART);
    atomicAdd(work.v[at + 2u], weight.y >> 10);
}

void main() {
    if (!draws() || !has_share()) return;
    const uint top_key = top_of_row().x;
    if (top_key == 0u || top_key == TOP_KEY) return;
    uvec4 best = uvec4(0u);  // the threshold of top-k
    if (count_of_row() > 0u) best = level == 0u ? count_state(3u) : state_at(3u);
    const uint threshold = best.x == 0u ? 0u : best.y;
    const uvec4 state = share_state(level);
    for (uint i = LANE; i < SAMPLE_BINS; i += ORR_GROUP) low[i] = high[i] = 0u;
    barrier();
    const float top = logit_of(top_key), rate = rate_of_row();
    const uint begin = gl_WorkGroupID.x * SAMPLE_CHUNK, end = min(n, begin + SAMPLE_CHUNK);
    for (uint i = begin + LANE; i < end; i += ORR_GROUP) {
        const uint key = key_of(logit_bits(i));
        if (key <= threshold || !has_prefix(key, state.y, level)) continue;
        const uvec2 weight = weight_of(top, logit_of(key), rate);
        atomicAdd(low[digit_of(key, level)], weight.x & PART);
        atomicAdd(high[digit_of(key, level)], weight.x >> 21 | weight.y << 11);
    }
    barrier();
    for (uint i = LANE; i < SAMPLE_BINS; i += ORR_GROUP)
        if ((low[i] | high[i]) > 0u) add(i, wide_add(uvec2(low[i], 0u), uvec2(high[i] << 21, high[i] >> 11)));
    // Of the threshold's equals as many as top-k keeps.
    if (gl_WorkGroupID.x == 0u && LANE == 0u && threshold > 0u && has_prefix(threshold, state.y, level))
        add(digit_of(threshold, level), wide_times(best.z, weight_of(top, logit_of(threshold), rate)));
}
