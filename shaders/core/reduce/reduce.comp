// Device half of plugins/core/ops/reduce/reduce_vulkan.cpp
// y = f over the reduced axes of x. ORR_GROUP 256: one workgroup an output, a tree over its partial results; ORR_GROUP 1: one
// invocation an output, one after another. f32 sums in two parts (48 bits), products with their exponent apart; i32, i64 wrap.
#version 460
#extension GL_GOOGLE_include_directive : require
layout(local_size_x = 256) in;
layout(constant_id = 0) const uint kept = 8;
layout(constant_id = 1) const uint reduced = 8;
layout(constant_id = 2) const uint type = 1;      // ORR_TYPE_*
layout(constant_id = 3) const uint function = 0;  // mean, sum, max, min, var, std, prod, l2
#include "common/exact.glsl"
#include "common/functions.glsl"
#include "common/strided.glsl"
#include "common/wide.glsl"
#include "core/reduce/params.h"

const uint MEAN = 0, SUM = 1, MAX = 2, MIN = 3, VAR = 4, STD = 5, PROD = 6, L2 = 7;

// Offset of index i along `count` axes from `first` on.
uint place(uint i, uint first, uint count) {
    uint a = 0;
    for (uint k = 0; k + 1 < count; k++) {
        a += i % extent[first + k] * stride[first + k];
        i /= extent[first + k];
    }
    return count == 0 ? 0 : a + i * stride[first + count - 1];
}

// f32: v and, for products, a power of two. Integers: w.
struct Partial {
    vec2 v;
    int e;
    uvec2 w;
};

// The exponent moves to e, so that no product leaves the range.
void normalise(inout Partial p) {
    if (p.v.x == 0.0 || !is_finite(p.v.x)) return;
    if (abs(p.v.x) < 1.0e-30) {
        p.v *= 1.2676506e30;  // 2^100
        p.e -= 100;
    }
    const int by = int(floatBitsToUint(p.v.x) >> 23 & 255u) - 127;
    const float factor = uintBitsToFloat(uint(127 - clamp(by, -126, 126)) << 23);
    p.v *= factor;
    p.e += clamp(by, -126, 126);
}

Partial start() {
    Partial p = Partial(vec2(0), 0, uvec2(0));
    if (function == MAX) p = Partial(vec2(-ORR_INF, 0), 0, type == ORR_I32 ? wide_of(-2147483647 - 1) : uvec2(0u, 0x80000000u));
    if (function == MIN) p = Partial(vec2(ORR_INF, 0), 0, type == ORR_I32 ? wide_of(2147483647) : uvec2(0xffffffffu, 0x7fffffffu));
    if (function == PROD) p = Partial(vec2(1, 0), 0, uvec2(1, 0));
    return p;
}

Partial join(Partial a, Partial b) {
    if (type != ORR_F32) {
        if (function == MAX) a.w = wide_less(a.w, b.w) ? b.w : a.w;
        else if (function == MIN) a.w = wide_less(b.w, a.w) ? b.w : a.w;
        else if (function == PROD) a.w = wide_mul(a.w, b.w);
        else a.w = wide_add(a.w, b.w);
        return a;
    }
    if (function == MAX) a.v.x = b.v.x > a.v.x || is_nan(b.v.x) ? b.v.x : a.v.x;
    else if (function == MIN) a.v.x = b.v.x < a.v.x || is_nan(b.v.x) ? b.v.x : a.v.x;
    else if (function == PROD) {
        normalise(b);
        vec2 p = two_product(a.v.x, b.v.x);
        precise float low = p.y + (a.v.x * b.v.y + a.v.y * b.v.x);
        a.v = is_finite(p.x) && is_finite(low) ? two_sum(p.x, low) : vec2(p.x, 0);
        a.e += b.e;
        normalise(a);
    } else a.v = exact_add(a.v, b.v);
    return a;
}

// A NaN in hand stays: max and min compare false with it.
Partial take(Partial a, uint at, vec2 centre) {
    if (type != ORR_F32) return join(a, Partial(vec2(0), 0, type == ORR_I32 ? wide_of(I32(x).v[at]) : Addresses(x).v[at]));
    const float v = F32(x).v[at];
    if (function == L2) {
        a.v = exact_add(a.v, two_product(v, v));
        return a;
    }
    if (function == VAR || function == STD) {
        precise float d = (v - centre.x) - centre.y;
        a.v = exact_add(a.v, two_product(d, d));
        return a;
    }
    return join(a, Partial(vec2(v, 0), 0, uvec2(0)));
}

vec2 divided(vec2 v, float by) {
    if (!is_finite(v.x) || by == 0.0) return vec2(v.x / by, 0);
    precise float q = v.x / by;
    const vec2 p = two_product(q, by);
    precise float rest = ((v.x - p.x) - p.y + v.y) / by;
    return two_sum(q, rest);
}

void finish(uint output_at, Partial p) {
    if (type == ORR_I32) {
        U32(y).v[output_at] = p.w.x;
        return;
    }
    if (type != ORR_F32) {
        Addresses(y).v[output_at] = p.w;
        return;
    }
    float r = p.v.x;
    if (function == MEAN || function == VAR) r = divided(p.v, divisor).x;
    if (function == STD) r = sqrt(divided(p.v, divisor).x);
    if (function == L2) r = sqrt(p.v.x);
    if (function == PROD) r = p.v.x == 0.0 || !is_finite(r) ? r : scale_by_power(r, clamp(p.e, -252, 254));
    F32(y).v[output_at] = r;
}

#if ORR_GROUP > 1
shared uvec2 parts_[ORR_GROUP];
shared int exponents_[ORR_GROUP];

Partial group_join(Partial p) {
    const uint i = gl_LocalInvocationID.x;
    for (uint step = ORR_GROUP / 2; step > 0; step >>= 1) {
        parts_[i] = type == ORR_F32 ? floatBitsToUint(p.v) : p.w;
        exponents_[i] = p.e;
        barrier();
        if (i < step) {
            const uvec2 w = parts_[i + step];
            p = join(p, Partial(uintBitsToFloat(w), exponents_[i + step], w));
        }
        barrier();
    }
    return p;
}

void main() {
    const uint output_at = gl_WorkGroupID.y * gl_NumWorkGroups.x + gl_WorkGroupID.x;
    if (output_at >= outputs) return;
    const uint from = place(output_at, 0, kept);
    vec2 centre = vec2(0);
    if (function == VAR || function == STD) {
        Partial sum = Partial(vec2(0), 0, uvec2(0));
        for (uint i = gl_LocalInvocationID.x; i < n; i += ORR_GROUP) sum.v = exact_add(sum.v, F32(x).v[from + place(i, kept, reduced)]);
        sum = group_join(sum);
        if (gl_LocalInvocationID.x == 0) parts_[0] = floatBitsToUint(sum.v);
        barrier();
        centre = divided(uintBitsToFloat(parts_[0]), float(n));
        barrier();
    }
    Partial p = start();
    for (uint i = gl_LocalInvocationID.x; i < n; i += ORR_GROUP) p = take(p, from + place(i, kept, reduced), centre);
    p = group_join(p);
    if (gl_LocalInvocationID.x == 0) finish(output_at, p);
}
#else
void main() {
    const uint output_at = flat_index();
    if (output_at >= outputs) return;
    const uint from = place(output_at, 0, kept);
    vec2 centre = vec2(0);
    if (function == VAR || function == STD) {
        for (uint i = 0; i < n; i++) centre = exact_add(centre, F32(x).v[from + place(i, kept, reduced)]);
        centre = divided(centre, float(n));
    }
    Partial p = start();
    for (uint i = 0; i < n; i++) p = take(p, from + place(i, kept, reduced), centre);
    finish(output_at, p);
}
#endif
