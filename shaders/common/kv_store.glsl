// Writing rows of a cache: f16 and bf16 to nearest even, q8_0 as the GGUF type does. An invocation of ORR_GROUP has two elements (f32: one), of
// which whole words are written. NARROW (needs ORR_VULKAN_STORAGE_16) writes 16 bits at a time: rows of odd widths share words, and q8_0
// blocks (f16 scale, 32 signed bytes) begin at odd multiples of 2 bytes.
#ifndef ORR_KV_STORE_GLSL
#define ORR_KV_STORE_GLSL
#include "common/half.glsl"
#include "common/kv_cache.glsl"

#ifdef NARROW
layout(buffer_reference, scalar, buffer_reference_align = 2) buffer U16 { uint16_t v[]; };
shared float orr_largest_[ORR_GROUP];

// a / b rounded to nearest: the language's division need not be
float divide(float a, float b) {
    const float q = a / b;
    precise float left = fma(-q, b, a);
    return left == left ? fma(left, 1.0 / b, q) : q;
}
int quantised(float x, float inverse) {  // halves away from zero
    const float q = x * inverse, whole = trunc(q);
    const float up = abs(q - whole) >= 0.5 ? whole + sign(q) : whole;
    return isnan(q) ? 0 : int(clamp(up, -127.0, 127.0));
}

// Elements d and d + 1 of a q8_0 row; 16 neighbouring invocations have a block and agree on `live`. All of the group must come.
void store_block(bool live, uvec2 row, uint d, float a, float b) {
    const uint i = gl_LocalInvocationID.x;
    orr_largest_[i] = max(isnan(a) ? 0.0 : abs(a), isnan(b) ? 0.0 : abs(b));
    barrier();
    for (uint s = 8; s > 0; s >>= 1) {
        if ((i & 15u) < s) orr_largest_[i] = max(orr_largest_[i], orr_largest_[i + s]);
        barrier();
    }
    if (!live) return;
    const float scale = divide(orr_largest_[i & ~15u], 127.0);
    const float inverse = scale == 0.0 ? 0.0 : isinf(scale) ? 0.0 : divide(1.0, scale);
    U16 block = U16(address_plus(row, d / 32 * 34));
    if (d % 32 == 0) block.v[0] = uint16_t(half_bits(scale));
    block.v[1 + d % 32 / 2] = uint16_t((quantised(a, inverse) & 0xff) | (quantised(b, inverse) & 0xff) << 8);
}
#endif

// Element d of an f32 row of D; d, which is even, and d + 1 of one of 16 bits.
void store_elements(uvec2 row, uint d, uint D, uint type, float first, float second) {
    if (type == ORR_F32) {
        F32(row).v[d] = first;
        return;
    }
    const uint low = type == ORR_F16 ? half_bits(first) : bf16_bits(first), high = type == ORR_F16 ? half_bits(second) : bf16_bits(second);
#ifdef NARROW
    U16(row).v[d] = uint16_t(low);
    if (d + 1 < D) U16(row).v[d + 1] = uint16_t(high);
#else
    U32(row).v[d / 2] = low | high << 16;
#endif
}
#endif
