// y[i] = f(a[i], b[i]) with broadcasting. ORR_BINARY: 0 add, 1 sub, 2 mul, 3 div, 4 maximum, 5 minimum.
// f32: one operation; i32, i64: two's complement, wrapping.
#extension GL_GOOGLE_include_directive : require
layout(local_size_x = 256) in;
layout(constant_id = 0) const uint axes = 8;
layout(constant_id = 1) const uint type = 1;  // ORR_TYPE_*
#include "common/functions.glsl"
#include "common/strided.glsl"
#include "common/wide.glsl"
#include "common/binary_params.h"

#if ORR_BINARY == 3
// The device's quotient may be 2.5 units off; its exact remainder (products in two parts, Dekker 1971) mends that where nothing
// over- or underflows.
float quotient(float l, float r) {
    const float q = l / r;
    const uint eq = floatBitsToUint(q) >> 23 & 255u, el = floatBitsToUint(l) >> 23 & 255u, er = floatBitsToUint(r) >> 23 & 255u;
    if (eq < 40u || eq > 220u || el < 64u || el > 220u || er < 40u || er > 220u) return q;
    precise float cq = 4097.0 * q, cr = 4097.0 * r;
    precise float qh = cq - (cq - q), rh = cr - (cr - r);
    precise float ql = q - qh, rl = r - rh;
    precise float product = q * r;
    precise float low = ((qh * rh - product) + qh * rl + ql * rh) + ql * rl;
    precise float rest = (l - product) - low;
    precise float mended = q + rest / r;
    return mended;
}
#endif

void main() {
    const uint i = flat_index();
    if (i >= n) return;
    ORR_WALK2(i, axes, at_a, stride_a, at_b, stride_b)
    if (type == ORR_F32) {
        const float l = F32(a).v[at_a], r = F32(b).v[at_b];
#if ORR_BINARY == 0
        F32(y).v[i] = l + r;
#elif ORR_BINARY == 1
        F32(y).v[i] = l - r;
#elif ORR_BINARY == 2
        F32(y).v[i] = l * r;
#elif ORR_BINARY == 3
        F32(y).v[i] = quotient(l, r);
#elif ORR_BINARY == 4
        F32(y).v[i] = l > r || is_nan(l) ? l : r;
#else
        F32(y).v[i] = l < r || is_nan(l) ? l : r;
#endif
    }
#if ORR_BINARY != 3
    else if (type == ORR_I32) {
        const int l = I32(a).v[at_a], r = I32(b).v[at_b];
#if ORR_BINARY == 0
        I32(y).v[i] = l + r;
#elif ORR_BINARY == 1
        I32(y).v[i] = l - r;
#elif ORR_BINARY == 2
        I32(y).v[i] = l * r;
#elif ORR_BINARY == 4
        I32(y).v[i] = max(l, r);
#else
        I32(y).v[i] = min(l, r);
#endif
    } else {
        const uvec2 l = Addresses(a).v[at_a], r = Addresses(b).v[at_b];
#if ORR_BINARY == 0
        Addresses(y).v[i] = wide_add(l, r);
#elif ORR_BINARY == 1
        Addresses(y).v[i] = wide_sub(l, r);
#elif ORR_BINARY == 2
        Addresses(y).v[i] = wide_mul(l, r);
#elif ORR_BINARY == 4
        Addresses(y).v[i] = wide_less(l, r) ? r : l;
#else
        Addresses(y).v[i] = wide_less(l, r) ? l : r;
#endif
    }
#endif
}
