// Device half of plugins/core/ops/sample/sample_vulkan.cpp
// Top-k: how many logits have each value of a digit of their key, below the digits found so far.
#version 460
#extension GL_GOOGLE_include_directive : require
#include "core/sample/sample.glsl"
#include "core/sample/search.glsl"

shared uint counts[SAMPLE_BINS];

void main() {
    if (!draws() || count_of_row() == 0u) return;
    const uvec4 state = count_state(level);
    if (state.x == 0u) return;
    for (uint i = LANE; i < SAMPLE_BINS; i += ORR_GROUP) counts[i] = 0u;
    barrier();
    const uint begin = gl_WorkGroupID.x * SAMPLE_CHUNK, end = min(n, begin + SAMPLE_CHUNK);
    for (uint i = begin + LANE; i < end; i += ORR_GROUP) {
        const uint key = key_of(logit_bits(i));
        if (key > 0u && has_prefix(key, state.y, level)) atomicAdd(counts[digit_of(key, level)], 1u);
    }
    barrier();
    for (uint i = LANE; i < SAMPLE_BINS; i += ORR_GROUP)
        if (counts[i] > 0u) atomicAdd(work.v[ROW * words + SAMPLE_COUNTS + level * SAMPLE_BINS + i], counts[i]);
}
