// e^x and log(1 + e^x) to a few units in the last place: the language's exp may be off by 3 + 2 |x| units, its log by 2^-21 near 1.
#ifndef ORR_EXP_GLSL
#define ORR_EXP_GLSL

float exact_exp(float x) {
    if (isnan(x)) return x;
    const float clamped = clamp(x, -104.0, 89.0);
    const float n = roundEven(clamped * 1.44269504);
    // log 2 in two parts, the first with few bits; Cody and Waite, 1980
    precise float r = clamped - n * 0.693359375;
    r = r + n * 2.12194440e-4;
    // Taylor's series; |r| <= log(2) / 2
    const float p = 1.0 + r * (1.0 + r * (0.5 + r * (1.0 / 6.0 + r * (1.0 / 24.0 + r * (1.0 / 120.0 + r * (1.0 / 720.0 + r / 5040.0))))));
    const int half_n = int(n) / 2;  // in two steps: 2^n itself may not be a number
    return p * uintBitsToFloat(uint(half_n + 127) << 23) * uintBitsToFloat(uint(int(n) - half_n + 127) << 23);
}

// log(1 + e) for e in [0, 1]: twice the series of artanh(e / (2 + e))
float log1p_unit(float e) {
    const float s = e / (2.0 + e), s2 = s * s;
    return 2.0 * s * (1.0 + s2 * (1.0 / 3.0 + s2 * (1.0 / 5.0 + s2 * (1.0 / 7.0 + s2 * (1.0 / 9.0 + s2 * (1.0 / 11.0 + s2 * (1.0 / 13.0 + s2 / 15.0)))))));
}

// log(1 + e^x), x itself above 20 as in torch
float softplus(float x) { return x > 20.0 ? x : max(x, 0.0) + log1p_unit(exact_exp(-abs(x))); }
#endif
