#include "float/targets.hpp"
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "float/vector_kernels.cpp"
#include "hwy/foreach_target.h"
#include "hwy/highway.h"
//
#include <algorithm>
#include <cmath>
#include <limits>

#include "float/math-inl.hpp"
#include "float/vector_kernels.hpp"
#include "hwy/contrib/math/math-inl.h"

HWY_BEFORE_NAMESPACE();
namespace orrery::flt {
namespace HWY_NAMESPACE {
namespace {

// log1p(e^x), and x itself above 20 as torch.nn.functional.softplus has it.
HWY_INLINE Vec softplus_f32(Vec x) {
    const Vec soft = hn::Add(hn::Max(x, hn::Zero(Tag())), hn::Log1p(Tag(), exp_negative(hn::Neg(hn::Abs(x)))));
    return hn::IfThenElse(hn::Gt(x, splat(20.0f)), x, soft);
}

template <Activation A>
HWY_INLINE Vec activate(Vec x) {
    if constexpr (A == Activation::gelu_erf) return gelu_erf_f32(x);
    else if constexpr (A == Activation::gelu_tanh) return gelu_tanh_f32(x);
    else if constexpr (A == Activation::quick_gelu) return quick_gelu_f32(x);
    else if constexpr (A == Activation::silu) return silu_f32(x);
    else if constexpr (A == Activation::relu) return hn::IfThenElse(hn::Lt(x, hn::Zero(Tag())), hn::Zero(Tag()), x);
    else if constexpr (A == Activation::tanh) return tanh_f32(x);
    else if constexpr (A == Activation::sigmoid) return sigmoid_f32(x);
    else return x;
}

// f: Vec -> Vec over a row.
template <typename F>
HWY_INLINE void map_row(const float* x, float* y, int64_t n, F f) {
    int64_t i = 0;
    for (; i + kLanes <= n; i += kLanes) hn::StoreU(f(hn::LoadU(Tag(), x + i)), Tag(), y + i);
    if (i < n) store_tail(f(load_tail(x + i, n - i)), y + i, n - i);
}

template <typename F>
void map_scalar(const float* x, float* y, int64_t n, F f) {
    for (int64_t i = 0; i < n; ++i) y[i] = f(x[i]);
}

struct UnaryOps {
#define ORR_OP(name, expression) \
    struct name {                \
        HWY_INLINE Vec operator()(Vec x) const { return expression; } \
    }
    ORR_OP(GeluErf, gelu_erf_f32(x));
    ORR_OP(GeluTanh, gelu_tanh_f32(x));
    ORR_OP(QuickGelu, quick_gelu_f32(x));
    ORR_OP(Silu, silu_f32(x));
    ORR_OP(Relu, activate<Activation::relu>(x));
    ORR_OP(Tanh, tanh_f32(x));
    ORR_OP(Sigmoid, sigmoid_f32(x));
    ORR_OP(Softplus, softplus_f32(x));
    ORR_OP(Exp, exp_f32(x));
    ORR_OP(Erf, erf_f32(x));
    ORR_OP(Sqrt, hn::Sqrt(x));
    ORR_OP(Rsqrt, hn::Div(splat(1.0f), hn::Sqrt(x)));
    ORR_OP(Negate, hn::Neg(x));
    ORR_OP(Abs, hn::Abs(x));
    ORR_OP(Square, hn::Mul(x, x));
#undef ORR_OP
};

void unary(Unary op, const float* x, float* y, int64_t n) {
    switch (op) {
        case Unary::copy: std::memmove(y, x, static_cast<size_t>(n) * sizeof(float)); return;
        case Unary::gelu_erf: return map_row(x, y, n, UnaryOps::GeluErf());
        case Unary::gelu_tanh: return map_row(x, y, n, UnaryOps::GeluTanh());
        case Unary::quick_gelu: return map_row(x, y, n, UnaryOps::QuickGelu());
        case Unary::silu: return map_row(x, y, n, UnaryOps::Silu());
        case Unary::relu: return map_row(x, y, n, UnaryOps::Relu());
        case Unary::tanh: return map_row(x, y, n, UnaryOps::Tanh());
        case Unary::sigmoid: return map_row(x, y, n, UnaryOps::Sigmoid());
        case Unary::softplus: return map_row(x, y, n, UnaryOps::Softplus());
        case Unary::exp: return map_row(x, y, n, UnaryOps::Exp());
        case Unary::erf: return map_row(x, y, n, UnaryOps::Erf());
        case Unary::sqrt: return map_row(x, y, n, UnaryOps::Sqrt());
        case Unary::rsqrt: return map_row(x, y, n, UnaryOps::Rsqrt());
        case Unary::neg: return map_row(x, y, n, UnaryOps::Negate());
        case Unary::abs: return map_row(x, y, n, UnaryOps::Abs());
        case Unary::square: return map_row(x, y, n, UnaryOps::Square());
        case Unary::log: return map_scalar(x, y, n, [](float v) { return std::log(v); });
        case Unary::sin: return map_scalar(x, y, n, [](float v) { return std::sin(v); });
        case Unary::cos: return map_scalar(x, y, n, [](float v) { return std::cos(v); });
    }
}

template <typename F>
HWY_INLINE void zip_row(const float* a, int a_step, const float* b, int b_step, float* y, int64_t n, F f) {
    const Vec a0 = splat(n > 0 ? a[0] : 0.0f), b0 = splat(n > 0 ? b[0] : 0.0f);
    int64_t i = 0;
    for (; i + kLanes <= n; i += kLanes) {
        const Vec av = a_step ? hn::LoadU(Tag(), a + i) : a0;
        const Vec bv = b_step ? hn::LoadU(Tag(), b + i) : b0;
        hn::StoreU(f(av, bv), Tag(), y + i);
    }
    if (i < n) {
        const Vec av = a_step ? load_tail(a + i, n - i) : a0;
        const Vec bv = b_step ? load_tail(b + i, n - i) : b0;
        store_tail(f(av, bv), y + i, n - i);
    }
}

struct BinaryOps {
#define ORR_OP(name, expression) \
    struct name {                \
        HWY_INLINE Vec operator()(Vec a, Vec b) const { return expression; } \
    }
    ORR_OP(Add, hn::Add(a, b));
    ORR_OP(Sub, hn::Sub(a, b));
    ORR_OP(Mul, hn::Mul(a, b));
    ORR_OP(Div, hn::Div(a, b));
    // A NaN on either side wins, as torch.maximum has it.
    ORR_OP(Max, hn::IfThenElse(hn::IsNaN(a), a, hn::IfThenElse(hn::Lt(b, a), a, b)));
    ORR_OP(Min, hn::IfThenElse(hn::IsNaN(a), a, hn::IfThenElse(hn::Lt(a, b), a, b)));
#undef ORR_OP
};

void binary(Binary op, const float* a, int a_step, const float* b, int b_step, float* y, int64_t n) {
    switch (op) {
        case Binary::add: return zip_row(a, a_step, b, b_step, y, n, BinaryOps::Add());
        case Binary::sub: return zip_row(a, a_step, b, b_step, y, n, BinaryOps::Sub());
        case Binary::mul: return zip_row(a, a_step, b, b_step, y, n, BinaryOps::Mul());
        case Binary::div: return zip_row(a, a_step, b, b_step, y, n, BinaryOps::Div());
        case Binary::max: return zip_row(a, a_step, b, b_step, y, n, BinaryOps::Max());
        case Binary::min: return zip_row(a, a_step, b, b_step, y, n, BinaryOps::Min());
    }
}

template <Activation A>
void gated_row(const float* gate, const float* up, float* y, int64_t n) {
    int64_t i = 0;
    for (; i + kLanes <= n; i += kLanes)
        hn::StoreU(hn::Mul(activate<A>(hn::LoadU(Tag(), gate + i)), hn::LoadU(Tag(), up + i)), Tag(), y + i);
    if (i < n) store_tail(hn::Mul(activate<A>(load_tail(gate + i, n - i)), load_tail(up + i, n - i)), y + i, n - i);
}

template <Activation A>
void epilogue_as(const Epilogue& e, const EpilogueTile& t) {
    const Vec scale = splat(e.scale);
    for (int64_t r = 0; r < t.rows; ++r) {
        const float* c = t.c + r * t.ldc;
        const float* residual = e.residual == nullptr ? nullptr : t.residual + r * e.residual_stride;
        float* dst = t.dst + r * t.dst_row;
        for (int64_t i = 0; i < t.columns; i += kLanes) {
            const int64_t left = t.columns - i;
            const bool whole = left >= kLanes;
            const Vec add = e.bias == nullptr ? hn::Zero(Tag()) : whole ? hn::LoadU(Tag(), t.bias + i) : load_tail(t.bias + i, left);
            Vec v = activate<A>(hn::MulAdd(whole ? hn::LoadU(Tag(), c + i) : load_tail(c + i, left), scale, add));
            if (residual != nullptr) v = hn::Add(v, whole ? hn::LoadU(Tag(), residual + i) : load_tail(residual + i, left));
            if (t.dst_col != 1) {
                alignas(64) float lane[kLanes];
                hn::Store(v, Tag(), lane);
                for (int64_t j = 0; j < std::min<int64_t>(left, kLanes); ++j) dst[(i + j) * t.dst_col] = lane[j];
            } else if (whole) {
                hn::StoreU(v, Tag(), dst + i);
            } else {
                store_tail(v, dst + i, left);
            }
        }
    }
}

#define ORR_BY_ACTIVATION(act, call)                                          \
    switch (act) {                                                            \
        case Activation::none: return call(Activation::none);                 \
        case Activation::gelu_erf: return call(Activation::gelu_erf);         \
        case Activation::gelu_tanh: return call(Activation::gelu_tanh);       \
        case Activation::quick_gelu: return call(Activation::quick_gelu);     \
        case Activation::silu: return call(Activation::silu);                 \
        case Activation::relu: return call(Activation::relu);                 \
        case Activation::tanh: return call(Activation::tanh);                 \
        case Activation::sigmoid: return call(Activation::sigmoid);           \
    }

void gated(Activation act, const float* gate, const float* up, float* y, int64_t n) {
#define ORR_CALL(A) gated_row<A>(gate, up, y, n)
    ORR_BY_ACTIVATION(act, ORR_CALL)
#undef ORR_CALL
}

void epilogue(const Epilogue& e, const EpilogueTile& t) {
#define ORR_CALL(A) epilogue_as<A>(e, t)
    ORR_BY_ACTIVATION(e.activation, ORR_CALL)
#undef ORR_CALL
}

// Four running vectors, then the tail, then the lanes: one order per (target, n). f: Vec -> Vec, with f(0) a no-op for the tail's
// padding only where `pad` masks it.
template <typename F>
HWY_INLINE float sum_row(const float* x, int64_t n, F f) {
    Vec s0 = hn::Zero(Tag()), s1 = s0, s2 = s0, s3 = s0;
    int64_t i = 0;
    for (; i + 4 * kLanes <= n; i += 4 * kLanes) {
        s0 = hn::Add(s0, f(hn::LoadU(Tag(), x + i)));
        s1 = hn::Add(s1, f(hn::LoadU(Tag(), x + i + kLanes)));
        s2 = hn::Add(s2, f(hn::LoadU(Tag(), x + i + 2 * kLanes)));
        s3 = hn::Add(s3, f(hn::LoadU(Tag(), x + i + 3 * kLanes)));
    }
    for (; i + kLanes <= n; i += kLanes) s0 = hn::Add(s0, f(hn::LoadU(Tag(), x + i)));
    float total = 0.0f;
    if (i < n) {
        alignas(64) float lane[kLanes];
        hn::Store(f(load_tail(x + i, n - i)), Tag(), lane);
        for (int64_t j = 0; j < n - i; ++j) total += lane[j];
    }
    return total + sum_lanes(hn::Add(hn::Add(s0, s1), hn::Add(s2, s3)));
}

struct Same {
    HWY_INLINE Vec operator()(Vec x) const { return x; }
};
struct Squared {
    HWY_INLINE Vec operator()(Vec x) const { return hn::Mul(x, x); }
};
struct SquaredFrom {
    Vec mean;
    HWY_INLINE Vec operator()(Vec x) const {
        const Vec c = hn::Sub(x, mean);
        return hn::Mul(c, c);
    }
};

void rms_norm(const float* x, const float* w, float w_offset, float eps, float* y, int64_t n) {
    const float mean = sum_row(x, n, Squared()) / static_cast<float>(n);
    const Vec r = splat(1.0f / std::sqrt(mean + eps)), offset = splat(w_offset);
    for (int64_t i = 0; i < n; i += kLanes) {
        const int64_t left = n - i;
        const bool whole = left >= kLanes;
        Vec v = hn::Mul(whole ? hn::LoadU(Tag(), x + i) : load_tail(x + i, left), r);
        if (w != nullptr) v = hn::Mul(v, hn::Add(whole ? hn::LoadU(Tag(), w + i) : load_tail(w + i, left), offset));
        if (whole) hn::StoreU(v, Tag(), y + i);
        else store_tail(v, y + i, left);
    }
}

void layer_norm(const float* x, const float* w, const float* b, float eps, float* y, int64_t n) {
    const Vec mean = splat(sum_row(x, n, Same()) / static_cast<float>(n));
    const float variance = sum_row(x, n, SquaredFrom{mean}) / static_cast<float>(n);
    const Vec r = splat(1.0f / std::sqrt(variance + eps));
    for (int64_t i = 0; i < n; i += kLanes) {
        const int64_t left = n - i;
        const bool whole = left >= kLanes;
        Vec v = hn::Mul(hn::Sub(whole ? hn::LoadU(Tag(), x + i) : load_tail(x + i, left), mean), r);
        if (w != nullptr) v = hn::Mul(v, whole ? hn::LoadU(Tag(), w + i) : load_tail(w + i, left));
        if (b != nullptr) v = hn::Add(v, whole ? hn::LoadU(Tag(), b + i) : load_tail(b + i, left));
        if (whole) hn::StoreU(v, Tag(), y + i);
        else store_tail(v, y + i, left);
    }
}

float max_row(const float* x, int64_t n) {
    float m = -std::numeric_limits<float>::infinity();
    Vec v = splat(m);
    int64_t i = 0;
    for (; i + kLanes <= n; i += kLanes) v = hn::Max(v, hn::LoadU(Tag(), x + i));
    m = max_lanes(v);
    for (; i < n; ++i) m = x[i] > m ? x[i] : m;
    return m;
}

// A row of -inf throughout gives zeros.
void softmax(const float* x, float* y, int64_t n) {
    const float m = max_row(x, n);
    const Vec shift = splat(m == -std::numeric_limits<float>::infinity() ? 0.0f : m);
    int64_t i = 0;
    for (; i + kLanes <= n; i += kLanes) hn::StoreU(exp_negative(hn::Sub(hn::LoadU(Tag(), x + i), shift)), Tag(), y + i);
    if (i < n) store_tail(exp_negative(hn::Sub(load_tail(x + i, n - i), shift)), y + i, n - i);
    const float total = sum_row(y, n, Same());
    const Vec r = splat(total == 0.0f ? 0.0f : 1.0f / total);
    for (i = 0; i + kLanes <= n; i += kLanes) hn::StoreU(hn::Mul(hn::LoadU(Tag(), y + i), r), Tag(), y + i);
    if (i < n) store_tail(hn::Mul(load_tail(y + i, n - i), r), y + i, n - i);
}

struct ExpFrom {
    Vec shift;
    HWY_INLINE Vec operator()(Vec x) const { return exp_negative(hn::Sub(x, shift)); }
};

void log_softmax(const float* x, float* y, int64_t n) {
    const float m = max_row(x, n);
    const Vec shift = splat(m);
    const Vec total = splat(std::log(sum_row(x, n, ExpFrom{shift})));
    int64_t i = 0;
    for (; i + kLanes <= n; i += kLanes) hn::StoreU(hn::Sub(hn::Sub(hn::LoadU(Tag(), x + i), shift), total), Tag(), y + i);
    if (i < n) store_tail(hn::Sub(hn::Sub(load_tail(x + i, n - i), shift), total), y + i, n - i);
}

// y may be x: both halves are read before either is written.
void rotate_half(const float* x, const float* cosine, const float* sine, float* y, int64_t half) {
    int64_t i = 0;
    for (; i + kLanes <= half; i += kLanes) {
        const Vec a = hn::LoadU(Tag(), x + i), b = hn::LoadU(Tag(), x + half + i);
        const Vec c = hn::LoadU(Tag(), cosine + i), s = hn::LoadU(Tag(), sine + i);
        hn::StoreU(hn::Sub(hn::Mul(a, c), hn::Mul(b, s)), Tag(), y + i);
        hn::StoreU(hn::Add(hn::Mul(b, c), hn::Mul(a, s)), Tag(), y + half + i);
    }
    for (; i < half; ++i) {
        const float a = x[i], b = x[half + i];
        y[i] = a * cosine[i] - b * sine[i];
        y[half + i] = b * cosine[i] + a * sine[i];
    }
}

void rotate_pairs(const float* x, const float* cosine, const float* sine, float* y, int64_t half) {
    for (int64_t i = 0; i < half; ++i) {
        const float a = x[2 * i], b = x[2 * i + 1];
        y[2 * i] = a * cosine[i] - b * sine[i];
        y[2 * i + 1] = b * cosine[i] + a * sine[i];
    }
}

void add_scaled(float f, const float* x, int64_t x_step, float* y, int64_t n) {
    if (x_step != 1) {
        for (int64_t i = 0; i < n; ++i) y[i] += f * x[i * x_step];
        return;
    }
    const Vec fv = splat(f);
    int64_t i = 0;
    for (; i + kLanes <= n; i += kLanes) hn::StoreU(hn::Add(hn::LoadU(Tag(), y + i), hn::Mul(fv, hn::LoadU(Tag(), x + i))), Tag(), y + i);
    for (; i < n; ++i) y[i] += f * x[i];
}

float sum_squares(const float* x, int64_t n) { return sum_row(x, n, Squared()); }

}  // namespace

static const VectorKernels* table() {
    static constexpr VectorKernels kTable = {ORR_TARGET_ISA, unary,   binary,      gated,       epilogue, rms_norm, layer_norm,
                                             softmax,        log_softmax, rotate_half, rotate_pairs, add_scaled, sum_squares};
    return &kTable;
}

}  // namespace HWY_NAMESPACE
}  // namespace orrery::flt
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace orrery::flt {
namespace {
const VectorKernels* pick(Isa isa) { ORR_PICK_TABLE(isa); }
}  // namespace
const VectorKernels& vector_kernels(Isa isa) { return *pick(isa); }
}  // namespace orrery::flt
#endif
