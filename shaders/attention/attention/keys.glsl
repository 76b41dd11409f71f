// Device half of plugins/attention/ops/attention/attention_vulkan.cpp: what its shaders share.
// Query rows of one key head are r = t * G + g, so that they share its keys. score = cap(scale q . k) + bias, -inf where hidden.
#include "common/kv_cache.glsl"
#ifdef TURNED  // by shaders of attention/rope_attention, whose keys are paged
#include "attention/rope_attention/split_params.h"
#define ORR_UNBIASED
#else
#include "attention/attention/params.h"
#endif

layout(constant_id = 0) const uint D = 64;
layout(constant_id = 1) const uint Dv = 64;
layout(constant_id = 2) const uint G = 1;
layout(constant_id = 3) const uint K_TYPE = 1;  // ORR_TYPE_* or ORR_Q8_0
layout(constant_id = 4) const uint V_TYPE = 1;
layout(constant_id = 5) const uint FLAGS = 0;
layout(constant_id = 6) const float SCALE = 1;
layout(constant_id = 7) const float SOFTCAP = 0;
layout(constant_id = 8) const int BACK = -1;    // how far from its own position a query sees; -1: no limit
layout(constant_id = 9) const int AHEAD = -1;
layout(constant_id = 10) const uint CHUNK = 64;  // keys of one workgroup of split
layout(constant_id = 11) const uint BIAS_BATCHES = 1;
layout(constant_id = 12) const uint MASK_TYPE = 1;  // 0: no mask
layout(constant_id = 13) const uint ROWS = 8;    // query rows of one workgroup of split
layout(constant_id = 14) const uint B = 1;
layout(constant_id = 15) const uint Hkv = 1;
layout(constant_id = 16) const uint SLOTS = 1;   // workgroups of split_subgroup that share the chunks of the same rows out

#include "common/attention_score.glsl"

struct Keys {
    int end, first;  // keys [first, end) are there
    Paged k, v;
};

Keys keys_of(uint b) {
    Keys s;
    s.end = int(S), s.first = 0;
    if ((FLAGS & PAGED) != 0) {
        s.k = PagedRows(k).v[b];
        s.v = PagedRows(v).v[b];
        s.end = min(s.k.tokens, int(S));
        s.first = s.k.first;
    }
    return s;
}

// Addresses of rows.
uvec2 key_row(Keys s, uint b, uint h, uint token) {
#ifndef TURNED
    if ((FLAGS & PAGED) == 0) return plain_row(k, b * k_batch + token * k_token + h * k_head);
#endif
    return cache_row(s.k, token, h, D, K_TYPE);
}
uvec2 value_row(Keys s, uint b, uint h, uint token) {
#ifndef TURNED
    if ((FLAGS & PAGED) == 0) return plain_row(v, b * v_batch + token * v_token + h * v_head);
#endif
    return cache_row(s.v, token, h, Dv, V_TYPE);
}
// Of keys that are there.
uvec2 key_row_of(Keys s, uint b, uint h, uint token) {
    return (FLAGS & PAGED) != 0 ? cache_row_of(s.k, token, h, D, K_TYPE) : key_row(s, b, h, token);
}
uvec2 value_row_of(Keys s, uint b, uint h, uint token) {
    return (FLAGS & PAGED) != 0 ? cache_row_of(s.v, token, h, Dv, V_TYPE) : value_row(s, b, h, token);
}
vec4 load_key(uvec2 row, uint d) { return cache_load4(row, d, D, K_TYPE, (FLAGS & WIDE_K) != 0); }
vec4 load_value(uvec2 row, uint d) { return cache_load4(row, d, Dv, V_TYPE, (FLAGS & WIDE_V) != 0); }

// Of the product of query row r and key s.
float score(Keys keys, uint b, uint h, uint r, uint s, float product) {
    const uint t = r / G;
    if (t >= T || !visible(keys.first, keys.end, t, int(s)) || masked(b, s)) return HIDDEN;
    return scored(b, h * G + r % G, t, s, product);
}

// The keys that queries t_first .. t_last may see; turned round, those that all of t_last .. t_first see.
ivec2 seen(Keys keys, uint t_first, uint t_last) {
    ivec2 range = ivec2(keys.first, keys.end);
    const int offset = keys.end - int(T);
    if (BACK >= 0) range.x = max(range.x, offset + int(t_first) - BACK);
    if (AHEAD >= 0) range.y = min(range.y, offset + int(t_last) + AHEAD + 1);
    return range;
}

#ifndef TURNED
// What a query row that sees no key gets: the mean of all values, as softmax over equal scores gives.
vec4 mean_value(Keys keys, uint b, uint h, uint d) {
    vec4 sum = vec4(0);
    for (int s = keys.first; s < keys.end; s++) sum += load_value(value_row(keys, b, h, uint(s)), d);
    return keys.end > keys.first ? sum / float(keys.end - keys.first) : vec4(0);
}
#endif
void store4(uint to, uint d, vec4 x) {
    [[unroll]] for (uint e = 0; e < 4; e++)
        if (d + e < Dv) y.v[to + d + e] = x[e];
}
