// Device half of plugins/core/ops/sample/sample_vulkan.cpp
// The token: the likeliest, or the first whose running sum of weights exceeds the target: its chunk, then its place there.
#version 460
#extension GL_GOOGLE_include_directive : require
#include "core/sample/sample.glsl"

shared uint found_item;
shared uint found_seen;    // equals before it
shared uvec2 found_before; // weight before it

// How many of `equals` are kept behind `seen` others.
uint kept_of(uint equals, uint seen, uint most) { return min(equals, most - min(most, seen)); }

void main() {
    const uvec2 top_of = top_of_row();
    if (!draws() || top_of.x == 0u || top_of.x == TOP_KEY) {
        if (LANE == 0u) token.v[ROW] = top_of.x == 0u ? -1 : int(top_of.y);
        return;
    }
    const float top = logit_of(top_of.x), rate = rate_of_row();
    const uint threshold = word_of(SAMPLE_STATES + 1u), most = word_of(SAMPLE_STATES + 2u);
    const uvec2 equal_weight = threshold > 0u ? weight_of(top, logit_of(threshold), rate) : uvec2(0u), least = floor_of_row();

    // over chunks
    const uint sums = SAMPLE_TOPS + 2u * chunks, part = (chunks + ORR_GROUP - 1u) / ORR_GROUP, first = LANE * part, last = min(chunks, first + part);
    uint equals = 0u;
    for (uint c = first; c < last; c++) equals += word_of(sums + 3u * c + 2u);
    const uint before = scan_add(equals) - equals;
    uvec2 mine = uvec2(0u);
    uint seen = before;
    for (uint c = first; c < last; c++) {
        const uint here = word_of(sums + 3u * c + 2u);
        mine = wide_add(mine, wide_add(uvec2(word_of(sums + 3u * c), word_of(sums + 3u * c + 1u)), wide_times(kept_of(here, seen, most), equal_weight)));
        seen += here;
    }
    const uvec2 to = scan_wide(mine);
    const uvec2 target = target_of(uvec2(random.v[ROW * 2u], random.v[ROW * 2u + 1u]), wide_scan_[ORR_GROUP - 1u]);
    uvec2 running = wide_sub(to, mine);
    if (!wide_less(target, running) && wide_less(target, to)) {
        seen = before;
        for (uint c = first; c < last; c++) {
            const uint here = word_of(sums + 3u * c + 2u);
            const uvec2 next = wide_add(running, wide_add(uvec2(word_of(sums + 3u * c), word_of(sums + 3u * c + 1u)), wide_times(kept_of(here, seen, most), equal_weight)));
            if (wide_less(target, next)) {
                found_item = c;
                found_seen = seen;
                found_before = running;
                break;
            }
            running = next;
            seen += here;
        }
    }
    barrier();

    // in the chunk, eight neighbours a lane
    const uint begin = found_item * SAMPLE_CHUNK + LANE * (SAMPLE_CHUNK / ORR_GROUP), end = min(n, begin + SAMPLE_CHUNK / ORR_GROUP);
    const uvec2 start = found_before;
    const bool keeps_equals = threshold > 0u && !wide_less(equal_weight, least);
    equals = 0u;
    if (keeps_equals)
        for (uint i = begin; i < end; i++) equals += uint(key_of(logit_bits(i)) == threshold);
    seen = found_seen + scan_add(equals) - equals;
    uvec2 weights[SAMPLE_CHUNK / ORR_GROUP];
    mine = uvec2(0u);
    for (uint i = begin; i < end; i++) {
        const uint key = key_of(logit_bits(i));
        uvec2 weight = uvec2(0u);
        if (key == threshold && threshold > 0u) {
            if (keeps_equals && seen++ < most) weight = equal_weight;
        } else if (key > threshold) {
            weight = weight_of(top, logit_of(key), rate);
            if (wide_less(weight, least)) weight = uvec2(0u);
        }
        weights[i - begin] = weight;
        mine = wide_add(mine, weight);
    }
    const uvec2 there = wide_add(start, scan_wide(mine));
    running = wide_sub(there, mine);
    if (!wide_less(target, running) && wide_less(target, there))
        for (uint i = begin; i < end; i++) {
            running = wide_add(running, weights[i - begin]);
            if (wide_less(target, running)) {
                token.v[ROW] = int(i);
                break;
            }
        }
}
