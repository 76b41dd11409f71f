// The same functions over rows, in f32; the vector functions are those of the float library.
#include <cmath>

#include "ops/activation/activation.hpp"

namespace orrery::core {
namespace {

template <class F>
void row(const float* x, float* y, int64_t n, F f) {
    for (int64_t k = 0; k < n; k++) y[k] = f(x[k]);
}

// x tanh(softplus(x)), in stretches that stay in the cache.
void mish(const flt::VectorKernels& kernels, const float* x, float* y, int64_t n) {
    constexpr int64_t kStretch = 256;
    float t[kStretch];
    for (int64_t at = 0; at < n; at += kStretch) {
        const int64_t count = std::min(kStretch, n - at);
        kernels.unary(flt::Unary::softplus, x + at, t, count);
        kernels.unary(flt::Unary::tanh, t, t, count);
        for (int64_t k = 0; k < count; k++) y[at + k] = x[at + k] * t[k];
    }
}

}  // namespace

void activate_row(const flt::VectorKernels& kernels, Function f, const float* x, float* y, int64_t n) {
    switch (f) {
        case Function::gelu: return kernels.unary(flt::Unary::gelu_erf, x, y, n);
        case Function::gelu_tanh: return kernels.unary(flt::Unary::gelu_tanh, x, y, n);
        case Function::quick_gelu: return kernels.unary(flt::Unary::quick_gelu, x, y, n);
        case Function::silu: return kernels.unary(flt::Unary::silu, x, y, n);
        case Function::tanh: return kernels.unary(flt::Unary::tanh, x, y, n);
        case Function::sigmoid: return kernels.unary(flt::Unary::sigmoid, x, y, n);
        case Function::softplus: return kernels.unary(flt::Unary::softplus, x, y, n);
        case Function::exp: return kernels.unary(flt::Unary::exp, x, y, n);
        case Function::erf: return kernels.unary(flt::Unary::erf, x, y, n);
        case Function::sqrt: return kernels.unary(flt::Unary::sqrt, x, y, n);
        case Function::rsqrt: return kernels.unary(flt::Unary::rsqrt, x, y, n);
        case Function::mish: return mish(kernels, x, y, n);
        case Function::relu: return row(x, y, n, [](float v) { return v < 0.0f ? 0.0f : v; });
        case Function::relu2: return row(x, y, n, [](float v) { return v < 0.0f ? 0.0f : v * v; });
        case Function::log: return row(x, y, n, [](float v) { return std::log(v); });
        case Function::abs: return row(x, y, n, [](float v) { return std::fabs(v); });
        case Function::neg: return row(x, y, n, [](float v) { return -v; });
        case Function::square: return row(x, y, n, [](float v) { return v * v; });
        case Function::sin: return row(x, y, n, [](float v) { return std::sin(v); });
        case Function::cos: return row(x, y, n, [](float v) { return std::cos(v); });
        case Function::floor: return row(x, y, n, [](float v) { return std::floor(v); });
        case Function::round: return row(x, y, n, [](float v) { return std::nearbyint(v); });
        case Function::hard_swish:
            return row(x, y, n, [](float v) {
                const float six = v + 3.0f < 0.0f ? 0.0f : (v + 3.0f > 6.0f ? 6.0f : v + 3.0f);
                return v * six / 6.0f;
            });
        case Function::elu: return row(x, y, n, [](float v) { return v > 0.0f ? v : std::expm1(v); });
        case Function::identity: return row(x, y, n, [](float v) { return v; });
    }
}

}  // namespace orrery::core
