// Device half of plugins/attention/ops/rope_attention/rope_attention_vulkan.cpp
// append.comp for heads of fours of elements, an even number of pairs, and caches whose elements fill words. One workgroup a token: an invocation has four
// elements, two pairs or what stands behind these, of one head after the other, so that it finds their angles once.
#version 460
#extension GL_GOOGLE_include_directive : require
#define ORR_GROUP 256
layout(local_size_x = ORR_GROUP) in;
#include "common/kv_store.glsl"
#include "common/reduce.glsl"
#include "attention/rope_attention/params.h"
#include "attention/rope_attention/append_constants.glsl"

const uint AT_ONCE = 4;  // heads whose elements an invocation reads before it writes any

vec2 two(F32 x, uint at) { return vec2(x.v[at], x.v[at + 1]); }
void store_two(uvec2 row, uint d, uint width, uint type, vec2 x) {
    store_elements(row, d, width, type, x.x, x.y);
    if (type == ORR_F32) store_elements(row, d + 1, width, type, x.y, 0);
}

void main() {
    const uint H = head_counts & 0xffff, Hkv = head_counts >> 16;
    const uint group = gl_WorkGroupID.y * gl_NumWorkGroups.x + gl_WorkGroupID.x, i = gl_LocalInvocationID.x;
    const uint t = group % T, b = group / T;
    if (b >= B) return;
    const Paged k_cache = k_state.v[b], v_cache = v_state.v[b];
    const bool far = beyond_switch(b);

    // Four elements at `at`.x and .y, two each.
    const uint quad = i % (D / 4), heads = ORR_GROUP / (D / 4);
    const bool turns = quad < PAIRS / 2;
    const uvec2 at = turns && INTERLEAVED == 0 ? uvec2(2 * quad, PAIRS + 2 * quad) : uvec2(4 * quad, 4 * quad + 2);
    vec2 angles[2];
    [[unroll]] for (uint e = 0; e < 2; e++) {
        const uint pair = min(2 * quad + e, PAIRS - 1);
        angles[e] = turns ? pair_angle(position(b, t), far ? long_freq.v[pair] : freq.v[pair], far ? LONG_ROPE_SCALE : ROPE_SCALE) : vec2(1, 0);
    }
    for (uint first = i / (D / 4); first < H + Hkv && i / (D / 4) < heads; first += AT_ONCE * heads) {
        vec2 low[AT_ONCE], high[AT_ONCE];
        [[unroll]] for (uint e = 0; e < AT_ONCE; e++) {
            const uint n = min(first + e * heads, H + Hkv - 1);
            const uint from = n < H ? b * q_batch + t * q_token + n * q_head : b * k_batch + t * k_token + (n - H) * k_head;
            F32 x = F32(n < H ? uvec2(q) : uvec2(k));
            low[e] = two(x, from + at.x);
            high[e] = two(x, from + at.y);
        }
        [[unroll]] for (uint e = 0; e < AT_ONCE; e++) {
            const uint n = first + e * heads;
            if (n >= H + Hkv) continue;
            if (turns) {
                const vec2 a = INTERLEAVED == 0 ? vec2(low[e].x, high[e].x) : low[e], c = INTERLEAVED == 0 ? vec2(low[e].y, high[e].y) : high[e];
                const vec2 one = turn_pair(a, angles[0]), other = turn_pair(c, angles[1]);
                low[e] = INTERLEAVED == 0 ? vec2(one.x, other.x) : one;
                high[e] = INTERLEAVED == 0 ? vec2(one.y, other.y) : other;
            }
            if (n < H) {
                const uint to = ((b * T + t) * H + n) * D;
                turned.v[to + at.x] = low[e].x, turned.v[to + at.x + 1] = low[e].y;
                turned.v[to + at.y] = high[e].x, turned.v[to + at.y + 1] = high[e].y;
                continue;
            }
            const uvec2 row = cache_row(k_cache, k_cache.past + t, n - H, D, K_TYPE);
            if (row == uvec2(0)) continue;  // the page is behind the window
            store_two(row, at.x, D, K_TYPE, low[e]);
            store_two(row, at.y, D, K_TYPE, high[e]);
        }
    }
    for (uint n = i; n < Hkv * (Dv / 4); n += ORR_GROUP) {
        const uint head = n / (Dv / 4), d = n % (Dv / 4) * 4, from = b * v_batch + t * v_token + head * v_head + d;
        const uvec2 row = cache_row(v_cache, v_cache.past + t, head, Dv, V_TYPE);
        const vec2 low = two(v, from), high = two(v, from + 2);
        if (row == uvec2(0)) continue;
        store_two(row, d, Dv, V_TYPE, low);
        store_two(row, d + 2, Dv, V_TYPE, high);
    }
}
