// y[i] = f(a[i], b[i]) with broadcasting. ORR_BINARY: 0 add, 1 sub, 2 mul, 3 div, 4 maximum, 5 minimum.
// f32: one operation; i32, i64: two's complement, wrapping.
#extension GL_GOOGLE_include_directive : require
layout(local_size_x = 256) in;
layout(constant_id = 0) const uint axes = 8;
layout(constant_id = 1) const uint type = 1;  // ORR_TYPE_*
// f32: 0, one element an invocation; else four, which are neighbours (1) or one value (2).
layout(constant_id = 2) const uint quads_a = 0;
layout(constant_id = 3) const uint quads_b = 0;
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

float apply(float l, float r) {
#if ORR_BINARY == 0
    return l + r;
#elif ORR_BINARY == 1
    return l - r;
#elif ORR_BINARY == 2
    return l * r;
#elif ORR_BINARY == 3
    return quotient(l, r);
#elif ORR_BINARY == 4
    return l > r || is_nan(l) ? l : r;
#else
    return l < r || is_nan(l) ? l : r;
#endif
}
int apply(int l, int r) {
#if ORR_BINARY == 0
    return l + r;
#elif ORR_BINARY == 1
    return l - r;
#elif ORR_BINARY == 2
    return l * r;
#elif ORR_BINARY == 4
    return max(l, r);
#else
    return min(l, r);
#endif
}
uvec2 apply(uvec2 l, uvec2 r) {
#if ORR_BINARY == 0
    return wide_add(l, r);
#elif ORR_BINARY == 1
    return wide_sub(l, r);
#elif ORR_BINARY == 2
    return wide_mul(l, r);
#elif ORR_BINARY == 4
    return wide_less(l, r) ? r : l;
#else
    return wide_less(l, r) ? l : r;
#endif
}

void main() {
    const uint i = flat_index();
    if (i >= n) return;
    ORR_WALK2(i, axes, at_a, stride_a, at_b, stride_b)
    if (quads_a != 0) {
        const vec4 l = quads_a == 1 ? F32x4(a).v[at_a] : vec4(F32(a).v[at_a]), r = quads_b == 1 ? F32x4(b).v[at_b] : vec4(F32(b).v[at_b]);
        F32x4(y).v[i] = vec4(apply(l.x, r.x), apply(l.y, r.y), apply(l.z, r.z), apply(l.w, r.w));
    } else if (type == ORR_F32) F32(y).v[i] = apply(F32(a).v[at_a], F32(b).v[at_b]);
#if ORR_BINARY != 3
    else if (type == ORR_I32) I32(y).v[i] = apply(I32(a).v[at_a], I32(b).v[at_b]);
    else Addresses(y).v[i] = apply(Addresses(a).v[at_a], Addresses(b).v[at_b]);
#endif
}
