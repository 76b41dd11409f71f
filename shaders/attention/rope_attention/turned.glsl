// The step's own tokens for split_subgroup.glsl: queries turned into shared memory, keys turned and values there too, as a cache of their type would give them
// back. An invocation has two elements of a row: a pair that is turned, or two neighbours behind these.
#include "common/kv_store.glsl"

layout(constant_id = 17) const uint TOKENS = 1;  // T, at most 8
layout(constant_id = 18) const uint PAIRS = 32;
layout(constant_id = 19) const uint INTERLEAVED = 0;
layout(constant_id = 20) const int SWITCH_LENGTH = 0;
layout(constant_id = 21) const float ROPE_SCALE = 1;
layout(constant_id = 22) const float LONG_ROPE_SCALE = 1;
#include "attention/rope/rotation.glsl"

const uint GROUP = SUBGROUP * 8;
const uint OF_QUERIES = (ROWS * D / 2 + GROUP - 1) / GROUP, OF_KEYS = (TOKENS * D / 2 + GROUP - 1) / GROUP, OF_VALUES = (TOKENS * Dv / 2 + GROUP - 1) / GROUP;

shared vec4 query[ROWS * D / 4];
const uint OWN_V = TOKENS * D / 4;                // values lie behind keys
shared vec4 own[OWN_V + TOKENS * Dv / 4];

struct Two {
    vec2 x;
    float frequency;
    int position;
};
Two queries[OF_QUERIES], keys_of_step[OF_KEYS];
vec2 values_of_step[OF_VALUES];
bool far;

uvec2 two_at(uint i) { return i < PAIRS ? pair_at(i, PAIRS, INTERLEAVED != 0) : uvec2(2 * i, 2 * i + 1); }

Two fetch_two(F32 row, uint from, uint i, uint b, uint t) {
    const uvec2 at = from + two_at(i);
    const uint pair = min(i, PAIRS - 1);
    return Two(vec2(row.v[at.x], row.v[at.y]), far ? long_freq.v[pair] : freq.v[pair], positions.v[b * position_batch + t * position_token]);
}

// All that the step brings, on its way at once. n-th pair of elements: of row n / (D / 2).
void fetch_rows(uint b, uint h, uint from) {
    const uint lane = gl_LocalInvocationID.x;
    far = false;
    if (SWITCH_LENGTH > 0) {
        int most = -1;
        for (uint t = 0; t < T; t++) most = max(most, positions.v[b * position_batch + t * position_token]);
        far = most >= SWITCH_LENGTH;
    }
    [[unroll]] for (uint e = 0; e < OF_QUERIES; e++) {
        const uint n = min(e * GROUP + lane, ROWS * D / 2 - 1), r = min(from + n / (D / 2), T * G - 1);
        queries[e] = fetch_two(q, b * q_batch + r / G * q_token + (h * G + r % G) * D, n % (D / 2), b, r / G);
    }
    [[unroll]] for (uint e = 0; e < OF_KEYS; e++) {
        const uint n = min(e * GROUP + lane, TOKENS * D / 2 - 1), t = n / (D / 2);
        keys_of_step[e] = fetch_two(new_k, b * k_batch + t * k_token + h * D, n % (D / 2), b, t);
    }
    [[unroll]] for (uint e = 0; e < OF_VALUES; e++) {
        const uint n = min(e * GROUP + lane, TOKENS * Dv / 2 - 1), at = b * v_batch + n / (Dv / 2) * v_token + h * Dv + n % (Dv / 2) * 2;
        values_of_step[e] = vec2(new_v.v[at], new_v.v[at + 1]);
    }
}

vec2 turned_two(Two two, uint i) { return i < PAIRS ? turn_pair(two.x, pair_angle(two.position, two.frequency, far ? LONG_ROPE_SCALE : ROPE_SCALE)) : two.x; }
// As it comes back from a cache of this type.
vec2 kept(vec2 x, uint type) {
    if (type == ORR_F32) return x;
    if (type == ORR_F16) return unpackHalf2x16(half_bits(x.x) | half_bits(x.y) << 16);
    return bf16x2(bf16_bits(x.x) | bf16_bits(x.y) << 16);
}

// A barrier must follow.
void turn_rows() {
    const uint lane = gl_LocalInvocationID.x;
    [[unroll]] for (uint e = 0; e < OF_QUERIES; e++) {
        const uint n = e * GROUP + lane, i = n % (D / 2);
        const uvec2 at = n / (D / 2) * D + two_at(i);
        const vec2 x = turned_two(queries[e], i);
        if (n >= ROWS * D / 2) continue;
        query[at.x / 4][at.x % 4] = x.x;
        query[at.y / 4][at.y % 4] = x.y;
    }
    [[unroll]] for (uint e = 0; e < OF_KEYS; e++) {
        const uint n = e * GROUP + lane, i = n % (D / 2);
        const uvec2 at = n / (D / 2) * D + two_at(i);
        const vec2 x = kept(turned_two(keys_of_step[e], i), K_TYPE);
        if (n >= TOKENS * D / 2) continue;
        own[at.x / 4][at.x % 4] = x.x;
        own[at.y / 4][at.y % 4] = x.y;
    }
    [[unroll]] for (uint e = 0; e < OF_VALUES; e++) {
        const uint n = e * GROUP + lane;
        const vec2 x = kept(values_of_step[e], V_TYPE);
        if (n >= TOKENS * Dv / 2) continue;
        own[OWN_V + n / 2][n % 2 * 2] = x.x;
        own[OWN_V + n / 2][n % 2 * 2 + 1] = x.y;
    }
}

// Columns 8 c … 8 c + 7 of a token's row: its own where it is one of the step's, else as they are. first: where own rows of this width begin.
void own_row(Paged cache, uint token, uint first, uint width, uint c, inout vec4 low, inout vec4 high) {
    const uint at = first + min(token - uint(cache.past), TOKENS - 1) * (width / 4) + c * 2;
    const bool is_own = int(token) >= cache.past;
    const vec4 a = own[at], d = own[at + 1];
    low = is_own ? a : low;
    high = is_own ? d : high;
}

// What a query row that sees no key gets: the mean of all values, as softmax over equal scores gives.
vec4 mean_value(Keys keys, uint b, uint h, uint d) {
    vec4 sum = vec4(0);
    for (int s = keys.first; s < keys.end; s++)
        sum += s < keys.v.past ? load_value(value_row(keys, b, h, uint(s)), d) : own[OWN_V + min(uint(s - keys.v.past), TOKENS - 1) * (Dv / 4) + d / 4];
    return keys.end > keys.first ? sum / float(keys.end - keys.first) : vec4(0);
}

void write_row(Paged cache, uint token, uint h, uint width, uint type, uint d, vec4 x) {
    const uvec2 row = cache_row(cache, token, h, width, type);
    if (row == uvec2(0)) return;  // the page is behind the window
    if (type == ORR_F32) {
        F32x4(row).v[d / 4] = x;
        return;
    }
    store_elements(row, d, width, type, x.x, x.y);
    store_elements(row, d + 2, width, type, x.z, x.w);
}
// The tokens whose chunks are this workgroup's go into the cache.
void write_own(Paged k_cache, Paged v_cache, uint h, uint slot) {
    for (uint t = 0; t < TOKENS; t++) {
        const uint token = uint(k_cache.past) + t;
        if (token / CHUNK % SLOTS != slot) continue;
        for (uint n = gl_LocalInvocationID.x; n < D / 4; n += GROUP) write_row(k_cache, token, h, D, K_TYPE, n * 4, own[t * (D / 4) + n]);
        for (uint n = gl_LocalInvocationID.x; n < Dv / 4; n += GROUP) write_row(v_cache, token, h, Dv, V_TYPE, n * 4, own[OWN_V + t * (Dv / 4) + n]);
    }
}
