// Device half of plugins/core/ops/sample/sample_vulkan.cpp
// The threshold that top-k and top-p leave; for each chunk the weight above it and how many equal it, min-p taken off.
#version 460
#extension GL_GOOGLE_include_directive : require
#include "core/sample/sample.glsl"
#include "core/sample/search.glsl"

// The fewest of that weight that make what is needed.
uint fewest(uvec2 weight, uvec2 needed) {
    uint from = 1u, to = SAMPLE_CHUNK * SAMPLE_MOST_CHUNKS;
    while (from < to) {
        const uint middle = (from + to) / 2u;
        if (wide_less(wide_times(middle, weight), needed))
            from = middle + 1u;
        else
            to = middle;
    }
    return from;
}

void main() {
    if (!draws()) return;
    const uint top_key = top_of_row().x;
    if (top_key == 0u || top_key == TOP_KEY) return;
    const float top = logit_of(top_key), rate = rate_of_row();
    uvec4 state = uvec4(0u);  // (0, threshold, how many equals are kept, 0)
    if (has_share()) {
        state = share_state(3u);
        state.z = fewest(weight_of(top, logit_of(state.y), rate), state.zw);
    } else if (count_of_row() > 0u) {
        state = count_state(3u);
        if (state.x == 0u) state = uvec4(0u);
    }
    const uint threshold = state.y;
    store_state(0u, uvec4(0u, threshold, state.z, 0u));
    const uvec2 least = floor_of_row();
    const uint begin = gl_WorkGroupID.x * SAMPLE_CHUNK, end = min(n, begin + SAMPLE_CHUNK);
    uvec2 sum = uvec2(0u);
    uint equals = 0u;
    for (uint i = begin + LANE; i < end; i += ORR_GROUP) {
        const uint key = key_of(logit_bits(i));
        if (key < threshold || key == 0u) continue;
        const uvec2 weight = weight_of(top, logit_of(key), rate);
        if (wide_less(weight, least)) continue;
        if (key > threshold)
            sum = wide_add(sum, weight);
        else
            equals++;
    }
    scan_add(equals);
    scan_wide(sum);
    if (LANE == 0u) {
        const uint at = SAMPLE_TOPS + 2u * chunks + 3u * gl_WorkGroupID.x;
        set_word(at, wide_scan_[ORR_GROUP - 1u].x);
        set_word(at + 1u, wide_scan_[ORR_GROUP - 1u].y);
        set_word(at + 2u, scan_[ORR_GROUP - 1u]);
    }
}
