// Sums in two f32 parts, some 48 bits: what the CPU does in f64, on devices that need not have it.
#ifndef ORR_EXACT_GLSL
#define ORR_EXACT_GLSL

bool is_finite(float x) { return (floatBitsToUint(x) & 0x7f800000u) != 0x7f800000u; }

// a + b and what rounding took from it (Knuth, TAOCP 2, 4.2.2, theorem B).
vec2 two_sum(float a, float b) {
    precise float s = a + b;
    precise float t = s - a;
    precise float e = (a - (s - t)) + (b - t);
    return vec2(s, is_finite(s) ? e : 0.0);
}
// a b and what rounding took from it (Dekker 1971). Factors beyond 2^100 or products below 2^-100 lose the second part.
vec2 two_product(float a, float b) {
    precise float p = a * b;
    precise float ca = 4097.0 * a, cb = 4097.0 * b;
    precise float ah = ca - (ca - a), bh = cb - (cb - b);
    precise float al = a - ah, bl = b - bh;
    precise float e = ((ah * bh - p) + ah * bl + al * bh) + al * bl;
    return vec2(p, is_finite(p) && is_finite(e) ? e : 0.0);
}
vec2 exact_add(vec2 a, vec2 b) {
    const vec2 s = two_sum(a.x, b.x);
    precise float low = s.y + (a.y + b.y);
    return two_sum(s.x, low);
}
vec2 exact_add(vec2 a, float b) {
    const vec2 s = two_sum(a.x, b);
    precise float low = s.y + a.y;
    return two_sum(s.x, low);
}
#endif
