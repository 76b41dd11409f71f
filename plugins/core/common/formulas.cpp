#include "common/formulas.hpp"

#include <initializer_list>
#include <limits>

namespace orrery::core::formulas {
namespace {

constexpr float kInf = std::numeric_limits<float>::infinity();
constexpr float kNan = std::numeric_limits<float>::quiet_NaN();
constexpr uint32_t kSign = 0x80000000u, kInfBits = 0x7f800000u;

Number copy_sign(Number magnitude, Number sign) { return from_bits((bits(magnitude) & ~kSign) | (bits(sign) & kSign)); }
Number clamp(Number x, float low, float high) {
    const Number raised = select(x < low, low, x);
    return select(raised > high, high, raised);
}
// c0 + x (c1 + x (c2 + …)), the last one first.
Number polynomial(Number x, std::initializer_list<float> coefficients) {
    auto c = coefficients.begin();
    Number p = number(x, *c++);
    for (; c != coefficients.end(); ++c) p = p * x + *c;
    return p;
}
// 2^n for n in [-252, 254], as two factors that are normal numbers.
Number scale_by_power(Number x, Word n) {
    const Word half = shift_signed(n, 1);
    return x * from_bits((half + 127u) << 23u) * from_bits((n - half + 127u) << 23u);
}
// e^r - 1 for |r| <= 0.36: its series.
Number expm1_small(Number r) {
    const Number p = polynomial(r, {1.0f / 40320, 1.0f / 5040, 1.0f / 720, 1.0f / 120, 1.0f / 24, 1.0f / 6, 0.5f});
    return p * r * r + r;
}

struct CosSin {
    Number cos, sin;
};
// Cody and Waite: pi / 2 in parts of 6 bits, whose products with a whole number below 2^18 are exact.
CosSin cos_sin(Number x) {
    const Number turns = round(x * 0.636619772f);
    Number r = x - turns * 1.5625f;
    r = r - turns * 0.008056640625f;
    r = r - turns * 0.00023651123046875f;
    r = r - turns * 3.159046173095703e-06f;
    r = r - turns * 1.5893254712295857e-08f;
    const Number r2 = r * r;
    const Number s = r + r * r2 * (-1.0f / 6 + r2 * (1.0f / 120 + r2 * (-1.0f / 5040 + r2 / 362880.0f)));
    const Number c = 1.0f + r2 * (-0.5f + r2 * (1.0f / 24 + r2 * (-1.0f / 720 + r2 * (1.0f / 40320 - r2 / 3628800.0f))));
    const Word quarter = to_int(turns) & 3u;
    const Truth even = (quarter & 1u) == 0u;
    const Number first = select(even, c, s), second = select(even, s, c);
    const Truth odd = ((quarter + 1u) & 2u) == 2u;  // 1 or 2
    return {select(odd, -first, first), select(quarter < 2u, second, -second)};
}
Truth is_special(Number x) { return !((bits(x) & kInfBits) < kInfBits); }  // inf or NaN

}  // namespace

Truth is_nan(Number x) { return word(x, kInfBits) < (bits(x) & ~kSign); }
Number keep_nan(Number x, Number otherwise) { return select(is_nan(x), x, otherwise); }
Number maximum(Number a, Number b) { return select((a > b) | is_nan(a), a, b); }
Number minimum(Number a, Number b) { return select((a < b) | is_nan(a), a, b); }
Number relu(Number x) { return keep_nan(x, select(x > 0.0f, x, 0.0f)); }

// The device's quotient may be 2.5 units off; its exact remainder (products in two parts, Dekker 1971) mends that where nothing
// over- or underflows.
Number quotient(Number a, Number b) {
    const Number q = a / b;
    const auto power = [](Number v) { return bits(v) >> 23u & 255u; };
    const auto within = [](Word e, uint32_t low) { return (!(e < low)) & (e < 221u); };
    const Truth safe = within(power(q), 40) & within(power(a), 64) & within(power(b), 40);
    const Number cq = 4097.0f * q, cr = 4097.0f * b;
    const Number qh = cq - (cq - q), rh = cr - (cr - b);
    const Number ql = q - qh, rl = b - rh;
    const Number product = q * b;
    const Number low = ((qh * rh - product) + qh * rl + ql * rh) + ql * rl;
    const Number rest = (a - product) - low;
    return select(safe, q + rest / b, q);
}

// x = n ln 2 + r with |r| <= ln 2 / 2.
Number exp(Number x) {
    const Number inside = clamp(x, -104.0f, 89.0f);
    const Number n = round(inside * 1.44269504f);
    Number r = inside - n * 0.693359375f;  // 9 bits: n times it is exact
    r = r + n * 2.12194440e-4f;
    const Number y = scale_by_power(1.0f + expm1_small(r), to_int(n));
    return keep_nan(x, select(x > 88.72284f, kInf, select(x < -103.97208f, 0.0f, y)));
}
Number expm1(Number x) { return select(abs(x) < 0.35f, expm1_small(x), exp(x) - 1.0f); }

// x = 2^e m with m in [sqrt(1/2), sqrt(2)); ln m = 2 artanh((m - 1) / (m + 1)).
Number log(Number x) {
    const Truth small = x < 1.17549435e-38f;
    const Word u = bits(select(small, x * 8388608.0f, x)) - 0x3f3504f3u;
    const Number e = from_int(shift_signed(u, 23) + select(small, word(x, static_cast<uint32_t>(-23)), word(x, 0)));
    const Number f = from_bits((u & 0x7fffffu) + 0x3f3504f3u) - 1.0f;
    const Number s = f / (f + 2.0f), z = s * s;
    const Number p = z * polynomial(z, {0.181818182f, 0.222222222f, 0.285714286f, 0.4f, 0.666666667f});
    const Number h = 0.5f * f * f;
    const Number y = e * 0.693359375f + (f - (h - (s * (h + p) - e * 2.12194440e-4f)));
    const Number special = select(is_nan(x) | (x < 0.0f), kNan, select(x == 0.0f, number(x, -kInf), x));
    return select(is_special(x) | (x <= 0.0f), special, y);
}

Number tanh(Number x) {
    const Number a = abs(x), s = x * x;
    const Number p = polynomial(s, {2.142962070e-03f, -8.177398531e-03f, 2.170070337e-02f, -5.394676310e-02f, 1.333320601e-01f, -3.333333080e-01f});
    const Number twice = clamp(a + a, 0.0f, 40.0f);
    return keep_nan(x, select(a < 0.625f, p * s * x + x, copy_sign(1.0f - 2.0f / (exp(twice) + 1.0f), x)));
}

// |x| < 1: x P(x^2). Beyond: 1 - exp(-Q(|x|)) with Q = -ln erfc, which rounds to 1 from 3.92.
Number erf(Number x) {
    const Number a = clamp(abs(x), 0.0f, 4.0f), s = a * a;
    const Number p = polynomial(s, {7.853896711e-05f, -8.010205217e-04f, 5.188329150e-03f, -2.685381283e-02f, 1.128358517e-01f, -3.761262583e-01f, 1.283791662e-01f});
    const Number q = polynomial(a, {-1.915041349e-04f, 2.999540679e-03f, -2.205199734e-02f, 1.035668918e-01f, 6.376000390e-01f, 1.127426086f, 2.564457067e-04f});
    return keep_nan(x, copy_sign(select(a < 1.0f, a * p + a, 1.0f - exp(-q)), x));
}

Number sin(Number x) { return select(is_special(x), kNan, cos_sin(x).sin); }
Number cos(Number x) { return select(is_special(x), kNan, cos_sin(x).cos); }
Number sigmoid(Number x) { return 1.0f / (1.0f + exp(-x)); }

// log(1 + e^x), x itself above 20. log1p(e) = log(u) e / (u - 1) with u = 1 + e rounded takes the rounding back.
Number softplus(Number x) {
    const Number e = exp(x), u = 1.0f + e, v = u - 1.0f;
    return select((x > 20.0f) | is_nan(x), x, select(v == 0.0f, e, log(u) * (e / v)));
}

// x Phi(x) = max(x, 0) - |x| Phi(-|x|), with -ln Phi(-a) fitted on [0, 6] and rising ever after.
Number gelu(Number x) {
    const Number a = clamp(abs(x), 0.0f, 32.0f);
    const Number q = polynomial(a, {4.132760323e-08f, -1.002363204e-06f, 1.081547224e-05f, -6.656061407e-05f, 2.268810318e-04f, -4.676243464e-05f, -4.778278912e-03f, 3.633482995e-02f, 3.183099378e-01f,
                                    7.978845631e-01f, 6.931471804e-01f});
    return keep_nan(x, select(x > 0.0f, x, 0.0f) - select(x > 0.0f, a, -x) * exp(-q));  // -inf * 0 is NaN, as PyTorch has it
}
Number gelu_tanh(Number x) {
    const Number inner = 0.79788456f * (x + 0.044715f * x * x * x);
    return 0.5f * x * (1.0f + tanh(inner));
}
Number quick_gelu(Number x) { return x / (1.0f + exp(-1.702f * x)); }
Number silu(Number x) { return x / (1.0f + exp(-x)); }
// x tanh(log(1 + e)) = x n / (n + 2) with n = e (e + 2)
Number mish(Number x) {
    const Number e = exp(x), n = e * (e + 2.0f);
    return select((x > 20.0f) | is_nan(x), x, x * (n / (n + 2.0f)));
}
Number elu(Number x) { return select(x > 0.0f, x, expm1(x)); }
Number hard_swish(Number x) { return keep_nan(x, x * select(x < -3.0f, 0.0f, select(x > 3.0f, 6.0f, x + 3.0f)) / 6.0f); }

}  // namespace orrery::core::formulas
