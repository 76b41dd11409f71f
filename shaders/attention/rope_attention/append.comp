// Device half of plugins/attention/ops/rope_attention/rope_attention_vulkan.cpp
// turned = rope(q);  k_state[b, past_b + t] = rope(k)[b, t];  v_state[b, past_b + t] = v[b, t]
// One workgroup a head of a token: queries, then keys, then values. Su et al. 2021, arXiv:2104.09864
#version 460
#extension GL_GOOGLE_include_directive : require
#ifdef NARROW
#extension GL_EXT_shader_16bit_storage : require
#endif
#define ORR_GROUP 64
layout(local_size_x = ORR_GROUP) in;
#include "common/kv_store.glsl"
#include "common/reduce.glsl"
#include "attention/rope_attention/params.h"

#include "attention/rope_attention/append_constants.glsl"

shared float head[D > Dv ? D : Dv];

void turn(F32 x, uint from, uint b, uint t) {
    const uint lane = gl_LocalInvocationID.x;
    const bool far = beyond_switch(b);
    for (uint i = lane; i < PAIRS; i += ORR_GROUP) {
        const uvec2 at = pair_at(i, PAIRS, INTERLEAVED != 0);
        const vec2 turned = turn_pair(vec2(x.v[from + at.x], x.v[from + at.y]), pair_angle(position(b, t), far ? long_freq.v[i] : freq.v[i], far ? LONG_ROPE_SCALE : ROPE_SCALE));
        head[at.x] = turned.x;
        head[at.y] = turned.y;
    }
    for (uint d = 2 * PAIRS + lane; d < D; d += ORR_GROUP) head[d] = x.v[from + d];
}

void store(Paged cache, uint t, uint h, uint width, uint type) {
    const uint token = cache.past + t, each = type == ORR_F32 ? 1 : 2;
    const uvec2 row = cache_row(cache, token, h, width, type);
    const bool live = row != uvec2(0);  // else the page is behind the window
    for (uint n = 0; n < width; n += each * ORR_GROUP) {
        const uint d = n + gl_LocalInvocationID.x * each;
        const float first = d < width ? head[d] : 0.0, second = d + 1 < width ? head[d + 1] : 0.0;
#ifdef NARROW
        if (type == ORR_Q8_0) {
            store_block(live && d < width, row, d, first, second);
            barrier();
            continue;
        }
#endif
        if (live && d < width) store_elements(row, d, width, type, first, second);
    }
}

void main() {
    const uint H = head_counts & 0xffff, Hkv = head_counts >> 16, heads = H + 2 * Hkv;
    const uint group = gl_WorkGroupID.y * gl_NumWorkGroups.x + gl_WorkGroupID.x;
    const uint n = group % heads, t = group / heads % T, b = group / heads / T;
    if (b >= B) return;
    if (n < H) {
        turn(q, b * q_batch + t * q_token + n * q_head, b, t);
        barrier();
        for (uint d = gl_LocalInvocationID.x; d < D; d += ORR_GROUP) turned.v[((b * T + t) * H + n) * D + d] = head[d];
    } else if (n < H + Hkv) {
        turn(k, b * k_batch + t * k_token + (n - H) * k_head, b, t);
        barrier();
        store(k_state.v[b], t, n - H, D, K_TYPE);
    } else {
        const uint from = b * v_batch + t * v_token + (n - H - Hkv) * v_head;
        for (uint d = gl_LocalInvocationID.x; d < Dv; d += ORR_GROUP) head[d] = v.v[from + d];
        barrier();
        store(v_state.v[b], t, n - H - Hkv, Dv, V_TYPE);
    }
}
