// Device half of plugins/core/ops/sample/sample_vulkan.cpp
// The largest logit of each chunk; makes the counts of the later passes zero.
#version 460
#extension GL_GOOGLE_include_directive : require
#include "core/sample/sample.glsl"

void main() {
    const uint chunk = gl_WorkGroupID.x, begin = chunk * SAMPLE_CHUNK, end = min(n, begin + SAMPLE_CHUNK);
    if (draws())
        for (uint i = chunk * ORR_GROUP + LANE; i < SAMPLE_STATES; i += chunks * ORR_GROUP) set_word(i, 0u);
    uvec2 best = uvec2(0u);
    for (uint i = begin + LANE; i < end; i += ORR_GROUP) {
        const uint key = key_of(logit_bits(i));
        if (key > best.x) best = uvec2(key, i);
    }
    wide_scan_[LANE] = best;
    barrier();
    for (uint step = ORR_GROUP / 2u; step > 0u; step >>= 1) {
        if (LANE < step) {
            const uvec2 a = wide_scan_[LANE], b = wide_scan_[LANE + step];
            if (b.x > a.x || (b.x == a.x && b.y < a.y)) wide_scan_[LANE] = b;
        }
        barrier();
    }
    if (LANE == 0u) {
        set_word(SAMPLE_TOPS + 2u * chunk, wide_scan_[0].x);
        set_word(SAMPLE_TOPS + 2u * chunk + 1u, wide_scan_[0].y);
    }
}
