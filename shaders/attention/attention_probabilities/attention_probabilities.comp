// Device half of plugins/attention/ops/attention_probabilities/attention_probabilities_vulkan.cpp
// y[b, h, t, s] = e^(score_s - max) / sum_s e^(score_s - max), 0 where key s is hidden. One workgroup a row; an invocation writes each of its
// elements first as a score and then as a probability, so that none waits for another's writes. Vaswani et al. 2017, arXiv:1706.03762
#version 460
#extension GL_GOOGLE_include_directive : require
#define ORR_GROUP 256
layout(local_size_x = ORR_GROUP) in;
#include "common/kv_cache.glsl"
#include "common/reduce.glsl"
#include "attention/attention_probabilities/params.h"

layout(constant_id = 0) const uint D = 64;
layout(constant_id = 1) const uint G = 1;
layout(constant_id = 2) const uint K_TYPE = 1;  // ORR_TYPE_* or ORR_Q8_0
layout(constant_id = 3) const uint FLAGS = 0;
layout(constant_id = 4) const float SCALE = 1;
layout(constant_id = 5) const float SOFTCAP = 0;
layout(constant_id = 6) const int BACK = -1;
layout(constant_id = 7) const int AHEAD = -1;
layout(constant_id = 8) const uint BIAS_BATCHES = 1;
layout(constant_id = 9) const uint MASK_TYPE = 1;
layout(constant_id = 10) const uint B = 1;
layout(constant_id = 11) const uint H = 1;
#include "common/attention_score.glsl"

const uint Q_WIDTH = (D + 3) / 4;  // in vec4
shared vec4 query[Q_WIDTH];
shared float tops[ORR_GROUP];

// group_max leaves NaN to the compiler.
float largest(float x) {
    const uint i = gl_LocalInvocationID.x;
    tops[i] = x;
    barrier();
    for (uint step = ORR_GROUP / 2; step > 0; step >>= 1) {
        if (i < step) tops[i] = larger(tops[i], tops[i + step]);
        barrier();
    }
    return tops[0];
}

void main() {
    const uint i = gl_LocalInvocationID.x, row = gl_WorkGroupID.y * gl_NumWorkGroups.x + gl_WorkGroupID.x;
    const uint t = row % T, h = row / T % H, b = row / T / H;
    if (b >= B) return;
    int first = 0, end = int(S);
    Paged cache;
    if ((FLAGS & PAGED) != 0) {
        cache = PagedRows(k).v[b];
        first = cache.first;
        end = min(cache.tokens, end);
    }
    for (uint n = i; n < Q_WIDTH; n += ORR_GROUP) {
        vec4 x = vec4(0);
        [[unroll]] for (uint e = 0; e < 4; e++)
            if (n * 4 + e < D) x[e] = q.v[b * q_batch + t * q_token + h * q_head + n * 4 + e];
        query[n] = x;
    }
    barrier();
    float top = HIDDEN;
    for (uint s = i; s < S; s += ORR_GROUP) {
        float x = HIDDEN;
        if (visible(first, end, t, int(s)) && !masked(b, s)) {
            const uvec2 from = (FLAGS & PAGED) != 0 ? cache_row(cache, s, h / G, D, K_TYPE) : plain_row(k, b * k_batch + s * k_token + h / G * k_head);
            float product = 0;
            for (uint d = 0; d < Q_WIDTH; d++) product += dot(cache_load4(from, d * 4, D, K_TYPE, (FLAGS & WIDE_K) != 0), query[d]);
            x = scored(b, h, t, s, product);
        }
        y.v[row * S + s] = x;
        top = larger(top, x);
    }
    top = largest(top);
    // Nothing seen: all keys alike.
    const bool blind = top == HIDDEN;
    float total = 0;
    for (uint s = i; s < S; s += ORR_GROUP) {
        const bool counts = blind ? int(s) >= first && int(s) < end : visible(first, end, t, int(s)) && !masked(b, s);
        const float p = !counts ? 0.0 : blind ? 1.0 : weight(y.v[row * S + s], top);
        y.v[row * S + s] = counts ? p : HIDDEN;
        total += p;
    }
    total = group_sum(total);
    for (uint s = i; s < S; s += ORR_GROUP) y.v[row * S + s] = total == 0 || y.v[row * S + s] == HIDDEN ? 0.0 : y.v[row * S + s] / total;
}
