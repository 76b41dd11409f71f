// The same functions over rows, in f32.
#include <cmath>

#include "ops/activation/activation.hpp"

namespace orrery::core {
namespace {

inline float sigmoid(float x) { return 1.0f / (1.0f + std::exp(-x)); }
inline float softplus(float x) { return x > 20.0f ? x : std::log1p(std::exp(x)); }

template <class F>
void row(const float* x, float* y, int64_t n, F f) {
    for (int64_t k = 0; k < n; k++) y[k] = f(x[k]);
}

}  // namespace

void activate_row(Function f, const float* x, float* y, int64_t n) {
    constexpr float kSqrtHalf = 0.70710678f, kSqrt2OverPi = 0.79788456f;
    switch (f) {
        case Function::gelu: return row(x, y, n, [](float v) { return 0.5f * v * (1.0f + std::erf(v * kSqrtHalf)); });
        case Function::gelu_tanh:
            return row(x, y, n, [](float v) { return 0.5f * v * (1.0f + std::tanh(kSqrt2OverPi * (v + 0.044715f * v * v * v))); });
        case Function::quick_gelu: return row(x, y, n, [](float v) { return v * sigmoid(1.702f * v); });
        case Function::silu: return row(x, y, n, [](float v) { return v / (1.0f + std::exp(-v)); });
        case Function::relu: return row(x, y, n, [](float v) { return v < 0.0f ? 0.0f : v; });
        case Function::relu2: return row(x, y, n, [](float v) { return v < 0.0f ? 0.0f : v * v; });
        case Function::tanh: return row(x, y, n, [](float v) { return std::tanh(v); });
        case Function::sigmoid: return row(x, y, n, sigmoid);
        case Function::softplus: return row(x, y, n, softplus);
        case Function::exp: return row(x, y, n, [](float v) { return std::exp(v); });
        case Function::log: return row(x, y, n, [](float v) { return std::log(v); });
        case Function::sqrt: return row(x, y, n, [](float v) { return std::sqrt(v); });
        case Function::rsqrt: return row(x, y, n, [](float v) { return 1.0f / std::sqrt(v); });
        case Function::abs: return row(x, y, n, [](float v) { return std::fabs(v); });
        case Function::neg: return row(x, y, n, [](float v) { return -v; });
        case Function::square: return row(x, y, n, [](float v) { return v * v; });
        case Function::sin: return row(x, y, n, [](float v) { return std::sin(v); });
        case Function::cos: return row(x, y, n, [](float v) { return std::cos(v); });
        case Function::erf: return row(x, y, n, [](float v) { return std::erf(v); });
        case Function::floor: return row(x, y, n, [](float v) { return std::floor(v); });
        case Function::round: return row(x, y, n, [](float v) { return std::nearbyint(v); });
        case Function::hard_swish:
            return row(x, y, n, [](float v) {
                const float six = v + 3.0f < 0.0f ? 0.0f : (v + 3.0f > 6.0f ? 6.0f : v + 3.0f);
                return v * six / 6.0f;
            });
        case Function::elu: return row(x, y, n, [](float v) { return v > 0.0f ? v : std::expm1(v); });
        case Function::mish: return row(x, y, n, [](float v) { return v * std::tanh(softplus(v)); });
        case Function::identity: return row(x, y, n, [](float v) { return v; });
    }
}

}  // namespace orrery::core
