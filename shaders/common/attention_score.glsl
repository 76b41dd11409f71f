// score = cap(scale q . k) + bias of one query head and one key, and which keys a query sees. Whoever includes this declares the constants FLAGS,
// SCALE, SOFTCAP, BACK and AHEAD (how far from its own position a query sees; -1: no limit), BIAS_BATCHES and MASK_TYPE, and the parameters T,
// bias, bias_batch, bias_head, bias_token, mask, mask_batch and mask_keys; with ORR_UNBIASED T alone.
#ifndef ORR_ATTENTION_SCORE_GLSL
#define ORR_ATTENTION_SCORE_GLSL
#include "common/kv_cache.glsl"

const uint PAGED = 1, WIDE_K = 2, WIDE_V = 4, BIAS = 8;  // FLAGS; wide: rows at multiples of 4 elements, and as long
#define HIDDEN uintBitsToFloat(0xff800000u)

// Address of a row; elements of plain tensors are counted in 32 bits, bytes in 34.
uvec2 plain_row(uvec2 base, uint element) {
    const uvec2 a = address_plus(base, element << 2);
    return uvec2(a.x, a.y + (element >> 30));
}

// softcap * tanh(x / softcap); the language's tanh may overflow.
float capped(float x) {
    if (SOFTCAP == 0) return x;
    const float a = x / SOFTCAP, a2 = a * a;
    if (a2 < 0.0625) return SOFTCAP * a * (1.0 + a2 * (-1.0 / 3.0 + a2 * (2.0 / 15.0 + a2 * (-17.0 / 315.0 + a2 * 62.0 / 2835.0))));
    const float e = exp(-2.0 * abs(a));
    return SOFTCAP * sign(a) * (1.0 - e) / (1.0 + e) + (isnan(x) ? x : 0.0);
}

bool masked(uint b, uint s) {
#ifdef ORR_UNBIASED
    return false;
#else
    if (MASK_TYPE == 0 || s >= mask_keys) return false;
    const uint at = b * mask_batch;
    if (MASK_TYPE == ORR_BOOL) return (mask.v[(at + s) >> 2] >> ((at + s & 3u) * 8u) & 255u) == 0u;
    if (MASK_TYPE == ORR_I64) return (mask.v[at + 2 * s] | mask.v[at + 2 * s + 1]) == 0u;
    if (MASK_TYPE == ORR_F32) return (mask.v[at + s] & 0x7fffffffu) == 0u;
    return mask.v[at + s] == 0u;
#endif
}

// Whether query t sees key `key` of the keys [first, end).
bool visible(int first, int end, uint t, int key) {
    const int position = end - int(T) + int(t);
    return key >= first && key < end && (BACK < 0 || key >= position - BACK) && (AHEAD < 0 || key <= position + AHEAD);
}

// Of the product of query t of head h and key s, which it sees.
float scored(uint b, uint h, uint t, uint s, float product) {
    float x = capped(product * SCALE);
#ifndef ORR_UNBIASED
    if ((FLAGS & BIAS) != 0) x += bias.v[b % BIAS_BATCHES * bias_batch + t * bias_token + h * bias_head + s];
#endif
    return x;
}

// NaN wins.
float larger(float a, float b) { return b > a || isnan(b) ? b : a; }
// e^(x - top), 0 where nothing was seen.
float weight(float x, float top) { return x == HIDDEN ? 0.0 : exp(x - top); }
#endif
