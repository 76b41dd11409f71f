// Device half of plugins/attention/ops/attention/attention_vulkan.cpp: what its shaders share.
// Query rows of one key head are r = t * G + g, so that they share its keys. score = cap(scale q . k) + bias, -inf where hidden.
#include "common/kv_cache.glsl"
#include "attention/attention/params.h"

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
layout(constant_id = 12) const uint MASK_TYPE = 1;
layout(constant_id = 13) const uint ROWS = 8;    // query rows of one workgroup of split
layout(constant_id = 14) const uint B = 1;
layout(constant_id = 15) const uint Hkv = 1;
layout(constant_id = 16) const uint SLOTS = 1;   // workgroups of split_subgroup that share the chunks of the same rows out

const uint PAGED = 1, WIDE_K = 2, WIDE_V = 4, BIAS = 8;  // FLAGS; wide: rows at multiples of 4 elements, and as long
#define HIDDEN uintBitsToFloat(0xff800000u)

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

// Addresses of rows; elements of plain tensors are counted in 32 bits, bytes in 34.
uvec2 plain_row(uvec2 base, uint element) {
    const uvec2 a = address_plus(base, element << 2);
    return uvec2(a.x, a.y + (element >> 30));
}
uvec2 key_row(Keys s, uint b, uint h, uint token) {
    return (FLAGS & PAGED) != 0 ? cache_row(s.k, token, h, D, K_TYPE) : plain_row(k, b * k_batch + token * k_token + h * k_head);
}
uvec2 value_row(Keys s, uint b, uint h, uint token) {
    return (FLAGS & PAGED) != 0 ? cache_row(s.v, token, h, Dv, V_TYPE) : plain_row(v, b * v_batch + token * v_token + h * v_head);
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

// softcap * tanh(x / softcap); the language's tanh may overflow.
float capped(float x) {
    if (SOFTCAP == 0) return x;
    const float a = x / SOFTCAP, a2 = a * a;
    if (a2 < 0.0625) return SOFTCAP * a * (1.0 + a2 * (-1.0 / 3.0 + a2 * (2.0 / 15.0 + a2 * (-17.0 / 315.0 + a2 * 62.0 / 2835.0))));
    const float e = exp(-2.0 * abs(a));
    return SOFTCAP * sign(a) * (1.0 - e) / (1.0 + e) + (isnan(x) ? x : 0.0);
}

bool masked(uint b, uint s) {
    if (s >= mask_keys) return false;
    const uint at = b * mask_batch;
    if (MASK_TYPE == ORR_BOOL) return (mask.v[(at + s) >> 2] >> ((at + s & 3u) * 8u) & 255u) == 0u;
    if (MASK_TYPE == ORR_I64) return (mask.v[at + 2 * s] | mask.v[at + 2 * s + 1]) == 0u;
    if (MASK_TYPE == ORR_F32) return (mask.v[at + s] & 0x7fffffffu) == 0u;
    return mask.v[at + s] == 0u;
}

// Of the product of query row r and key s.
float score(Keys keys, uint b, uint h, uint r, uint s, float product) {
    const uint t = r / G;
    const int position = keys.end - int(T) + int(t), key = int(s);
    if (key < keys.first || key >= keys.end || t >= T) return HIDDEN;
    if ((BACK >= 0 && key < position - BACK) || (AHEAD >= 0 && key > position + AHEAD)) return HIDDEN;
    if (masked(b, s)) return HIDDEN;
    float x = capped(product * SCALE);
    if ((FLAGS & BIAS) != 0) x += bias.v[b % BIAS_BATCHES * bias_batch + t * bias_token + (h * G + r % G) * bias_head + s];
    return x;
}

// The keys that queries t_first .. t_last may see.
ivec2 seen(Keys keys, uint t_first, uint t_last) {
    ivec2 range = ivec2(keys.first, keys.end);
    const int offset = keys.end - int(T);
    if (BACK >= 0) range.x = max(range.x, offset + int(t_first) - BACK);
    if (AHEAD >= 0) range.y = min(range.y, offset + int(t_last) + AHEAD + 1);
    return range;
}

// NaN wins.
float larger(float a, float b) { return b > a || isnan(b) ? b : a; }
// e^(x - top), 0 where nothing was seen.
float weight(float x, float top) { return x == HIDDEN ? 0.0 : exp(x - top); }

// What a query row that sees no key gets: the mean of all values, as softmax over equal scores gives.
vec4 mean_value(Keys keys, uint b, uint h, uint d) {
    vec4 sum = vec4(0);
    for (int s = keys.first; s < keys.end; s++) sum += load_value(value_row(keys, b, h, uint(s)), d);
    return keys.end > keys.first ? sum / float(keys.end - keys.first) : vec4(0);
}
void store4(uint to, uint d, vec4 x) {
    [[unroll]] for (uint e = 0; e < 4; e++)
        if (d + e < Dv) y.v[to + d + e] = x[e];
}
