// Device half of plugins/core/ops/cast/cast_vulkan.cpp
// y[i] = x[i] as another plain type, rounded once, ties to even; conversions by bits, so that devices agree. ORR_UNIT: bytes of y's elements.
#version 460
#extension GL_GOOGLE_include_directive : require
layout(local_size_x = 256) in;
layout(constant_id = 0) const uint axes = 8;
layout(constant_id = 1) const uint from_type = 1;  // ORR_TYPE_*
layout(constant_id = 2) const uint to_type = 1;
#include "common/functions.glsl"
#include "common/half.glsl"
#include "common/strided.glsl"
#include "common/wide.glsl"
#include "core/cast/params.h"

float f16_to_f32(uint h) {
    const uint sign = (h & 0x8000u) << 16, magnitude = h & 0x7fffu;
    if (magnitude >= 0x7c00u) return uintBitsToFloat(sign | 0x7f800000u | (magnitude & 0x3ffu) << 13);
    if (magnitude < 0x400u) return copy_sign(float(magnitude) * 5.9604644775390625e-8, uintBitsToFloat(sign));
    return uintBitsToFloat(sign | ((magnitude << 13) + 0x38000000u));
}
// Nearest, ties to even: the leading 24 bits, with a last bit for what lies below them.
float wide_to_f32(uvec2 v) {
    const bool negative = int(v.y) < 0;
    if (negative) v = wide_sub(uvec2(0), v);
    float f;
    if (v.y == 0u && v.x < 16777216u) {
        f = float(v.x);
    } else {
        const int top = v.y != 0u ? 32 + findMSB(v.y) : findMSB(v.x);
        const int down = top - 24;  // keeps 25 bits
        uint kept, lost;
        if (down == 0) {
            kept = v.x;
            lost = 0u;
        } else if (down < 32) {
            kept = v.x >> down | v.y << (32 - down);
            lost = v.x & ((1u << down) - 1u);
        } else {
            kept = v.y >> (down - 32);
            lost = v.x | (v.y & ((1u << (down - 32)) - 1u));
        }
        const bool half_up = (kept & 1u) != 0u && (lost != 0u || (kept & 2u) != 0u);
        const uint mantissa = (kept >> 1) + (half_up ? 1u : 0u);  // 2^24 when it carries: the exponent takes it
        f = uintBitsToFloat(uint(top + 127 - 1) * 8388608u + mantissa);
    }
    return negative ? -f : f;
}
// Towards zero; what does not fit saturates, NaN is 0.
int f32_to_i32(float v) {
    if (is_nan(v)) return 0;
    if (v >= 2147483648.0) return 2147483647;
    if (v < -2147483648.0) return -2147483647 - 1;
    return int(v);
}
uvec2 f32_to_wide(float v) {
    if (is_nan(v)) return uvec2(0);
    const uint u = floatBitsToUint(v);
    const int e = int(u >> 23 & 255u) - 127;
    const bool negative = (u >> 31) != 0u;
    if (e < 0) return uvec2(0);
    if (e >= 63) return negative ? uvec2(0u, 0x80000000u) : uvec2(0xffffffffu, 0x7fffffffu);
    const uint m = (u & 0x7fffffu) | 0x800000u;
    uvec2 r;
    if (e <= 23) r = uvec2(m >> (23 - e), 0u);
    else if (e < 55) r = uvec2(e - 23 < 32 ? m << (e - 23) : 0u, m >> (55 - e));
    else r = uvec2(0u, m << (e - 55));
    return negative ? wide_sub(uvec2(0), r) : r;
}

bool is_float() { return from_type == ORR_F32 || from_type == ORR_F16 || from_type == ORR_BF16; }
float load_number(uint i) {
    if (from_type == ORR_F32) return F32(x).v[i];
    const uint h = load_half(x, i);
    return from_type == ORR_F16 ? f16_to_f32(h) : uintBitsToFloat(h << 16);
}
uvec2 load_integer(uint i) {
    switch (from_type) {
        case ORR_I8: return wide_of(int(load_byte(x, i)) << 24 >> 24);
        case ORR_U8: return uvec2(load_byte(x, i), 0u);
        case ORR_BOOL: return uvec2(load_byte(x, i) != 0u ? 1u : 0u, 0u);
        case ORR_I16: return wide_of(int(load_half(x, i)) << 16 >> 16);
        case ORR_U16: return uvec2(load_half(x, i), 0u);
        case ORR_I32: return wide_of(I32(x).v[i]);
        case ORR_U32: return uvec2(U32(x).v[i], 0u);
    }
    return Addresses(x).v[i];
}

void main() {
    const uint i = flat_index();
    if (i >= n) return;
    ORR_WALK1(i, axes, from, stride_x)
#if ORR_UNIT == 8
    if (is_float()) Unit(y).v[i] = f32_to_wide(load_number(from));
    else Unit(y).v[i] = load_integer(from);
#elif ORR_UNIT == 1
    const bool holds = is_float() ? load_number(from) != 0.0 : load_integer(from) != uvec2(0);
    Unit(y).v[i] = uint8_t(holds ? 1 : 0);
#else
    float v = 0.0;
    uvec2 w = uvec2(0);
    if (is_float()) v = load_number(from);
    else {
        w = load_integer(from);
        if (to_type != ORR_I32) v = wide_to_f32(w);
    }
#if ORR_UNIT == 2
    Unit(y).v[i] = uint16_t(to_type == ORR_F16 ? half_bits(v) : bf16_bits(v));
#else
    if (to_type == ORR_I32) Unit(y).v[i] = is_float() ? uint(f32_to_i32(v)) : w.x;
    else Unit(y).v[i] = floatBitsToUint(v);
#endif
#endif
}
