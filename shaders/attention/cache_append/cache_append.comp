// Device half of plugins/attention/ops/cache_append/cache_append_vulkan.cpp
// state[b, past_b + t, h, d] = x[b, t, h, d], rounded to the state's type
// An invocation writes a word: one element, or two of 16 bits. NARROW writes 16 bits at a time: rows of odd widths share words, and q8_0
// blocks (f16 scale, 32 signed bytes) begin at odd multiples of 2 bytes; there an invocation writes two elements, 16 of them a block.
#version 460
#extension GL_GOOGLE_include_directive : require
#ifdef NARROW
#extension GL_EXT_shader_16bit_storage : require
#endif
layout(local_size_x = 256) in;
#include "common/kv_cache.glsl"
#include "common/half.glsl"
#include "attention/cache_append/params.h"

#ifdef NARROW
layout(buffer_reference, scalar, buffer_reference_align = 2) buffer U16 { uint16_t v[]; };

shared float largest[256];

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

// The invocations of a block agree on whether it is written; all reach the barriers.
void write_block(bool live, uvec2 row, uint d, float a, float b) {
    const uint i = gl_LocalInvocationID.x;
    largest[i] = max(isnan(a) ? 0.0 : abs(a), isnan(b) ? 0.0 : abs(b));
    barrier();
    for (uint s = 8; s > 0; s >>= 1) {
        if ((i & 15u) < s) largest[i] = max(largest[i], largest[i + s]);
        barrier();
    }
    if (!live) return;
    const float scale = divide(largest[i & ~15u], 127.0);
    const float inverse = scale == 0.0 ? 0.0 : isinf(scale) ? 0.0 : divide(1.0, scale);
    U16 block = U16(address_plus(row, d / 32 * 34));
    if (d % 32 == 0) block.v[0] = uint16_t(half_bits(scale));
    block.v[1 + d % 32 / 2] = uint16_t((quantised(a, inverse) & 0xff) | (quantised(b, inverse) & 0xff) << 8);
}
#endif

void main() {
    const uint each = type == ORR_F32 ? D : (D + 1) / 2;
    const uint at = (gl_WorkGroupID.y * gl_NumWorkGroups.x + gl_WorkGroupID.x) * 256 + gl_LocalInvocationID.x;
    const uint h = at / each % H, t = at / each / H % T, b = at / each / H / T;
    const uint d = at % each * (type == ORR_F32 ? 1 : 2);
    bool live = b < B;
    uvec2 row = uvec2(0);
    float first = 0, second = 0;
    if (live) {
        const Paged cache = state.v[b];
        const uint token = cache.past + t, from = b * x_batch + t * x_token + h * x_head + d;
        row = cache_row(cache, token, h, D, type);
        live = token < cache.tokens && row != uvec2(0);  // a page behind the window is gone
        first = x.v[from];
        if (type != ORR_F32 && d + 1 < D) second = x.v[from + 1];
    }
#ifdef NARROW
    if (type == ORR_Q8_0) {
        write_block(live, row, d, first, second);
        return;
    }
    if (!live) return;
    U16(row).v[d] = uint16_t(type == ORR_F16 ? half_bits(first) : bf16_bits(first));
    if (d + 1 < D) U16(row).v[d + 1] = uint16_t(type == ORR_F16 ? half_bits(second) : bf16_bits(second));
#else
    if (!live) return;
    if (type == ORR_F32) F32(row).v[d] = first;
    else if (type == ORR_F16) U32(row).v[d / 2] = half_bits(first) | half_bits(second) << 16;
    else U32(row).v[d / 2] = bf16_bits(first) | bf16_bits(second) << 16;
#endif
}
