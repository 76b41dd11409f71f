// Vector functions in f32, included once per target inside a kernel file (Highway's convention for -inl files).
// Errors, measured by math_test against double precision: exp 1 ulp, erf 2 ulp, tanh 2 ulp, sigmoid 3 ulp.
// Polynomials are weighted minimax fits (Lawson's iteration on Chebyshev nodes), made for this file.
#if defined(ORR_FLT_MATH_INL) == defined(HWY_TARGET_TOGGLE)
#ifdef ORR_FLT_MATH_INL
#undef ORR_FLT_MATH_INL
#else
#define ORR_FLT_MATH_INL
#endif

#include <cstdint>
#include <cstring>

#include "hwy/highway.h"

HWY_BEFORE_NAMESPACE();
namespace orrery::flt {
namespace HWY_NAMESPACE {

namespace hn = hwy::HWY_NAMESPACE;
using Tag = hn::CappedTag<float, 16>;
using Vec = hn::Vec<Tag>;
inline constexpr int kLanes = static_cast<int>(hn::MaxLanes(Tag()));

HWY_INLINE Vec splat(float v) { return hn::Set(Tag(), v); }

// The first n < kLanes floats, zeros behind; and the store that touches n floats alone. Where masked moves cannot fault they
// save a round trip through the stack (a wide load of bytes just stored narrowly has to wait for them).
#if HWY_TARGET == HWY_AVX2 || HWY_TARGET == HWY_AVX3
HWY_INLINE Vec load_tail(const float* p, int64_t n) { return hn::MaskedLoad(hn::FirstN(Tag(), static_cast<size_t>(n)), Tag(), p); }
HWY_INLINE void store_tail(Vec v, float* p, int64_t n) { hn::BlendedStore(v, hn::FirstN(Tag(), static_cast<size_t>(n)), Tag(), p); }
#else
HWY_INLINE Vec load_tail(const float* p, int64_t n) {
    alignas(64) float buffer[kLanes] = {};
    std::memcpy(buffer, p, static_cast<size_t>(n) * sizeof(float));
    return hn::Load(Tag(), buffer);
}
HWY_INLINE void store_tail(Vec v, float* p, int64_t n) {
    alignas(64) float buffer[kLanes];
    hn::Store(v, Tag(), buffer);
    std::memcpy(p, buffer, static_cast<size_t>(n) * sizeof(float));
}
#endif

// 2^n for integers n in [-126, 127], given as floats.
HWY_INLINE Vec power_of_two(Vec n) {
    constexpr Tag d;
    const hn::RebindToSigned<Tag> di;
    return hn::BitCast(d, hn::ShiftLeft<23>(hn::Add(hn::ConvertTo(di, n), hn::Set(di, 127))));
}

// e^r on |r| <= ln 2 / 2.
HWY_INLINE Vec exp_reduced(Vec r) {
    Vec p = hn::MulAdd(r, splat(1.381461028e-03f), splat(8.368711147e-03f));
    p = hn::MulAdd(p, r, splat(4.166838749e-02f));
    p = hn::MulAdd(p, r, splat(1.666652068e-01f));
    p = hn::MulAdd(p, r, splat(4.999999345e-01f));
    return hn::Add(splat(1.0f), hn::MulAdd(hn::Mul(r, r), p, r));
}

// x = n ln 2 + r, Cody and Waite's two-part constant; returns n.
HWY_INLINE Vec reduce_ln2(Vec x, Vec& r) {
    const Vec n = hn::Round(hn::Mul(x, splat(1.44269504f)));
    r = hn::NegMulAdd(n, splat(0.693359375f), x);
    r = hn::NegMulAdd(n, splat(-2.12194440e-4f), r);
    return n;
}

// Over the whole range: inf above 88.72, denormals and then 0 below -87.33, NaN kept.
HWY_INLINE Vec exp_f32(Vec x) {
#if HWY_TARGET == HWY_AVX3
    // vmaxps and vminps pass their second operand on where one is NaN
    const Vec bounded{_mm512_min_ps(_mm512_set1_ps(89.0f), _mm512_max_ps(_mm512_set1_ps(-105.0f), x.raw))};
    Vec left;
    const Vec power = reduce_ln2(bounded, left);
    return Vec{_mm512_scalef_ps(exp_reduced(left).raw, power.raw)};
#else
    const Vec clamped = hn::IfThenElse(hn::IsNaN(x), x, hn::Min(hn::Max(x, splat(-105.0f)), splat(89.0f)));
    Vec r;
    const Vec n = reduce_ln2(clamped, r);
    const Vec safe = hn::IfThenElse(hn::IsNaN(x), hn::Zero(Tag()), n);
    const Vec half = hn::Floor(hn::Mul(safe, splat(0.5f)));
    return hn::Mul(hn::Mul(exp_reduced(r), power_of_two(half)), power_of_two(hn::Sub(safe, half)));
#endif
}

// For x <= 0, as softmax needs it: results under 2^-126 become 0. -inf gives 0; a NaN is kept.
HWY_INLINE Vec exp_negative(Vec x) {
#if HWY_TARGET == HWY_AVX3
    const __mmask16 counts = _mm512_cmp_ps_mask(x.raw, _mm512_set1_ps(-87.3f), _CMP_NLT_UQ);
    Vec r;
    const Vec n = reduce_ln2(x, r);
    return Vec{_mm512_maskz_scalef_ps(counts, exp_reduced(r).raw, n.raw)};
#else
    const auto tiny = hn::Lt(x, splat(-87.3f));
    const Vec clamped = hn::IfThenElse(tiny, hn::Zero(Tag()), x);
    Vec r;
    const Vec n = reduce_ln2(clamped, r);
    const Vec scale = power_of_two(hn::IfThenElse(hn::IsNaN(x), hn::Zero(Tag()), n));
    return hn::IfThenElse(tiny, hn::Zero(Tag()), hn::Mul(exp_reduced(r), scale));
#endif
}

HWY_INLINE Vec sigmoid_f32(Vec x) { return hn::Div(splat(1.0f), hn::Add(splat(1.0f), exp_f32(hn::Neg(x)))); }

HWY_INLINE Vec tanh_f32(Vec x) {
    const Vec a = hn::Abs(x);
    const Vec s = hn::Mul(x, x);
    Vec p = hn::MulAdd(s, splat(2.142962070e-03f), splat(-8.177398531e-03f));
    p = hn::MulAdd(p, s, splat(2.170070337e-02f));
    p = hn::MulAdd(p, s, splat(-5.394676310e-02f));
    p = hn::MulAdd(p, s, splat(1.333320601e-01f));
    p = hn::MulAdd(p, s, splat(-3.333333080e-01f));
    const Vec small = hn::MulAdd(hn::Mul(p, s), x, x);
    const Vec e = exp_f32(hn::Min(hn::Add(a, a), splat(40.0f)));
    const Vec large = hn::Sub(splat(1.0f), hn::Div(splat(2.0f), hn::Add(e, splat(1.0f))));
    const Vec y = hn::CopySign(hn::IfThenElse(hn::Lt(a, splat(0.625f)), small, large), x);
    return hn::IfThenElse(hn::IsNaN(x), x, y);
}

// |x| < 1: x P(x^2). Beyond: 1 - exp(-Q(|x|)) with Q = -ln erfc, which rounds to 1 from 3.92.
HWY_INLINE Vec erf_f32(Vec x) {
    const Vec a = hn::Min(hn::Abs(x), splat(4.0f));
    const Vec s = hn::Mul(a, a);
    Vec p = hn::MulAdd(s, splat(7.853896711e-05f), splat(-8.010205217e-04f));
    p = hn::MulAdd(p, s, splat(5.188329150e-03f));
    p = hn::MulAdd(p, s, splat(-2.685381283e-02f));
    p = hn::MulAdd(p, s, splat(1.128358517e-01f));
    p = hn::MulAdd(p, s, splat(-3.761262583e-01f));
    p = hn::MulAdd(p, s, splat(1.283791662e-01f));  // 2/sqrt(pi) - 1
    const Vec small = hn::MulAdd(a, p, a);
    Vec q = hn::MulAdd(a, splat(-1.915041349e-04f), splat(2.999540679e-03f));
    q = hn::MulAdd(q, a, splat(-2.205199734e-02f));
    q = hn::MulAdd(q, a, splat(1.035668918e-01f));
    q = hn::MulAdd(q, a, splat(6.376000390e-01f));
    q = hn::MulAdd(q, a, splat(1.127426086e+00f));
    q = hn::MulAdd(q, a, splat(2.564457067e-04f));
    const Vec large = hn::Sub(splat(1.0f), exp_negative(hn::Neg(q)));
    const Vec y = hn::CopySign(hn::IfThenElse(hn::Lt(a, splat(1.0f)), small, large), x);
    return hn::IfThenElse(hn::IsNaN(x), x, y);
}

// x Phi(x) = max(x, 0) - |x| Phi(-|x|), with -ln Phi(-a) = Q(a) fitted on [0, 6] and rising ever after: one polynomial and one
// exponential, no cancellation on the negative side.
HWY_INLINE Vec gelu_erf_f32(Vec x) {
    const Vec a = hn::Abs(x);
    Vec q = hn::MulAdd(a, splat(4.132760323e-08f), splat(-1.002363204e-06f));
    q = hn::MulAdd(q, a, splat(1.081547224e-05f));
    q = hn::MulAdd(q, a, splat(-6.656061407e-05f));
    q = hn::MulAdd(q, a, splat(2.268810318e-04f));
    q = hn::MulAdd(q, a, splat(-4.676243464e-05f));
    q = hn::MulAdd(q, a, splat(-4.778278912e-03f));
    q = hn::MulAdd(q, a, splat(3.633482995e-02f));
    q = hn::MulAdd(q, a, splat(3.183099378e-01f));
    q = hn::MulAdd(q, a, splat(7.978845631e-01f));
    q = hn::MulAdd(q, a, splat(6.931471804e-01f));
    const Vec bounded = hn::Max(hn::Neg(x), hn::Min(x, splat(32.0f)));  // |x|, or 32 above: inf - 32 * 0 = inf, but -inf * 0 = NaN as the formula has it
    const Vec tail = hn::Mul(bounded, exp_negative(hn::Neg(hn::Min(q, splat(200.0f)))));
    return hn::IfThenElse(hn::IsNaN(x), x, hn::Sub(hn::Max(x, hn::Zero(Tag())), tail));
}
HWY_INLINE Vec gelu_tanh_f32(Vec x) {
    const Vec cube = hn::Mul(hn::Mul(x, x), x);
    const Vec inner = hn::Mul(splat(0.79788456f), hn::MulAdd(splat(0.044715f), cube, x));
    const Vec h = hn::Mul(x, splat(0.5f));
    return hn::MulAdd(h, tanh_f32(inner), h);
}
HWY_INLINE Vec quick_gelu_f32(Vec x) { return hn::Mul(x, sigmoid_f32(hn::Mul(x, splat(1.702f)))); }
HWY_INLINE Vec silu_f32(Vec x) { return hn::Div(x, hn::Add(splat(1.0f), exp_f32(hn::Neg(x)))); }

// One order per target, so that a row's total depends on the target alone.
HWY_INLINE float sum_lanes(Vec v) { return hn::GetLane(hn::SumOfLanes(Tag(), v)); }
HWY_INLINE float max_lanes(Vec v) { return hn::GetLane(hn::MaxOfLanes(Tag(), v)); }

}  // namespace HWY_NAMESPACE
}  // namespace orrery::flt
HWY_AFTER_NAMESPACE();

#endif
