// Element functions in f32, built from +, -, * and / alone: a device's own exp, log, tanh, sin and the like may be wrong by many
// units in the last place. Sine and cosine: trig.glsl, for |x| up to 2^18.
#ifndef ORR_FUNCTIONS_GLSL
#define ORR_FUNCTIONS_GLSL
#include "common/trig.glsl"

// By bits: devices may take isnan and x != x for false.
bool is_nan(float x) { return (floatBitsToUint(x) & 0x7fffffffu) > 0x7f800000u; }
// Compilers make a maximum of a comparison with 0, which loses NaN.
float relu_f32(float x) { return is_nan(x) ? x : max(x, 0.0); }
bool is_inf(float x) { return (floatBitsToUint(x) & 0x7fffffffu) == 0x7f800000u; }
#define ORR_NAN uintBitsToFloat(0x7fc00000u)
#define ORR_INF uintBitsToFloat(0x7f800000u)
float copy_sign(float magnitude, float sign) { return uintBitsToFloat((floatBitsToUint(magnitude) & 0x7fffffffu) | (floatBitsToUint(sign) & 0x80000000u)); }

// 2^n for n in [-252, 254], as two factors that are normal numbers.
float scale_by_power(float x, int n) {
    const int half_n = n >> 1;
    return x * uintBitsToFloat(uint(half_n + 127) << 23) * uintBitsToFloat(uint(n - half_n + 127) << 23);
}
// e^r - 1 for |r| <= 0.36: its series.
float expm1_small(float r) {
    precise float p = 1.0 / 40320.0;
    p = p * r + 1.0 / 5040.0;
    p = p * r + 1.0 / 720.0;
    p = p * r + 1.0 / 120.0;
    p = p * r + 1.0 / 24.0;
    p = p * r + 1.0 / 6.0;
    p = p * r + 0.5;
    p = p * r * r + r;
    return p;
}
// x = n ln 2 + r with |r| <= ln 2 / 2.
float exp_f32(float x) {
    if (is_nan(x)) return x;
    if (x > 88.72284) return ORR_INF;
    if (x < -103.97208) return 0.0;
    precise float n = roundEven(x * 1.44269504);
    precise float r = x - n * 0.693359375;  // 9 bits: n times it is exact
    r = r + n * 2.12194440e-4;
    return scale_by_power(1.0 + expm1_small(r), int(n));
}
float expm1_f32(float x) { return abs(x) < 0.35 ? expm1_small(x) : exp_f32(x) - 1.0; }

// x = 2^e m with m in [sqrt(1/2), sqrt(2)); ln m = 2 artanh((m - 1) / (m + 1)).
float log_f32(float x) {
    if (is_nan(x) || x < 0.0) return ORR_NAN;
    if (x == 0.0) return -ORR_INF;
    if (is_inf(x)) return x;
    int e = 0;
    if (x < 1.17549435e-38) {
        x *= 8388608.0;
        e = -23;
    }
    const uint u = floatBitsToUint(x) - 0x3f3504f3u;
    e += int(u) >> 23;
    const float m = uintBitsToFloat((u & 0x7fffffu) + 0x3f3504f3u);
    precise float f = m - 1.0;
    precise float s = f / (m + 1.0);
    precise float z = s * s;
    precise float p = z * (0.666666667 + z * (0.4 + z * (0.285714286 + z * (0.222222222 + z * 0.181818182))));
    // ln m = f - f^2/2 + s (f^2/2 + p)
    precise float h = 0.5 * f * f;
    return float(e) * 0.693359375 + (f - (h - (s * (h + p) - float(e) * 2.12194440e-4)));
}
float sigmoid_f32(float x) { return 1.0 / (1.0 + exp_f32(-x)); }
float tanh_f32(float x) {
    if (is_nan(x)) return x;
    const float a = abs(x), s = x * x;
    if (a < 0.625) {
        precise float p = s * 2.142962070e-03 - 8.177398531e-03;
        p = p * s + 2.170070337e-02;
        p = p * s - 5.394676310e-02;
        p = p * s + 1.333320601e-01;
        p = p * s - 3.333333080e-01;
        return p * s * x + x;
    }
    return copy_sign(1.0 - 2.0 / (exp_f32(min(a + a, 40.0)) + 1.0), x);
}
// |x| < 1: x P(x^2). Beyond: 1 - exp(-Q(|x|)) with Q = -ln erfc, which rounds to 1 from 3.92.
float erf_f32(float x) {
    if (is_nan(x)) return x;
    const float a = min(abs(x), 4.0), s = a * a;
    if (a < 1.0) {
        precise float p = s * 7.853896711e-05 - 8.010205217e-04;
        p = p * s + 5.188329150e-03;
        p = p * s - 2.685381283e-02;
        p = p * s + 1.128358517e-01;
        p = p * s - 3.761262583e-01;
        p = p * s + 1.283791662e-01;  // 2/sqrt(pi) - 1
        return copy_sign(a * p + a, x);
    }
    precise float q = a * -1.915041349e-04 + 2.999540679e-03;
    q = q * a - 2.205199734e-02;
    q = q * a + 1.035668918e-01;
    q = q * a + 6.376000390e-01;
    q = q * a + 1.127426086;
    q = q * a + 2.564457067e-04;
    return copy_sign(1.0 - exp_f32(-q), x);
}
float sin_f32(float x) { return is_nan(x) || is_inf(x) ? ORR_NAN : cos_sin(x).y; }
float cos_f32(float x) { return is_nan(x) || is_inf(x) ? ORR_NAN : cos_sin(x).x; }

// log(1 + e^x), x itself above 20. log1p(e) = log(u) e / (u - 1) with u = 1 + e rounded takes the rounding back.
float softplus_f32(float x) {
    if (x > 20.0 || is_nan(x)) return x;
    const float e = exp_f32(x);
    precise float u = 1.0 + e;
    precise float v = u - 1.0;
    return v == 0.0 ? e : log_f32(u) * (e / v);
}
// x Phi(x) = max(x, 0) - |x| Phi(-|x|), with -ln Phi(-a) = Q(a) fitted on [0, 6] and rising ever after.
float gelu_f32(float x) {
    if (is_nan(x) || floatBitsToUint(x) == 0xff800000u) return ORR_NAN;  // -inf * Phi(-inf) is NaN, as PyTorch has it
    const float a = min(abs(x), 32.0);
    precise float q = a * 4.132760323e-08 - 1.002363204e-06;
    q = q * a + 1.081547224e-05;
    q = q * a - 6.656061407e-05;
    q = q * a + 2.268810318e-04;
    q = q * a - 4.676243464e-05;
    q = q * a - 4.778278912e-03;
    q = q * a + 3.633482995e-02;
    q = q * a + 3.183099378e-01;
    q = q * a + 7.978845631e-01;
    q = q * a + 6.931471804e-01;
    return (x > 0.0 ? x : 0.0) - a * exp_f32(-q);
}
float gelu_tanh_f32(float x) {
    precise float inner = 0.79788456 * (x + 0.044715 * x * x * x);
    return 0.5 * x * (1.0 + tanh_f32(inner));
}
float quick_gelu_f32(float x) { return x / (1.0 + exp_f32(-1.702 * x)); }
float silu_f32(float x) { return x / (1.0 + exp_f32(-x)); }
// x tanh(log(1 + e)) = x n / (n + 2) with n = e (e + 2)
float mish_f32(float x) {
    if (x > 20.0 || is_nan(x)) return x;
    const float e = exp_f32(x), n = e * (e + 2.0);
    return x * (n / (n + 2.0));
}
#endif
