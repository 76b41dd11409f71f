// The definitions, in f64. Names and thresholds as in torch.nn.functional.
#include <cmath>

#include "ops/activation/activation.hpp"

namespace orrery::core {
namespace {

constexpr double kSqrtHalf = 0.70710678118654752440;
constexpr double kSqrt2OverPi = 0.79788456080286535588;

double sigmoid(double x) { return 1.0 / (1.0 + std::exp(-x)); }
// torch's threshold of 20: beyond it f32 cannot tell the two apart.
double softplus(double x) { return x > 20.0 ? x : std::log1p(std::exp(x)); }

}  // namespace

double activate(Function f, double x) {
    switch (f) {
        case Function::gelu: return 0.5 * x * (1.0 + std::erf(x * kSqrtHalf));
        case Function::gelu_tanh: return 0.5 * x * (1.0 + std::tanh(kSqrt2OverPi * (x + 0.044715 * x * x * x)));
        case Function::quick_gelu: return x * sigmoid(1.702 * x);
        case Function::silu: return x * sigmoid(x);
        case Function::relu: return x < 0.0 ? 0.0 : x;
        case Function::relu2: return x < 0.0 ? 0.0 : x * x;
        case Function::tanh: return std::tanh(x);
        case Function::sigmoid: return sigmoid(x);
        case Function::softplus: return softplus(x);
        case Function::exp: return std::exp(x);
        case Function::log: return std::log(x);
        case Function::sqrt: return std::sqrt(x);
        case Function::rsqrt: return 1.0 / std::sqrt(x);
        case Function::abs: return std::fabs(x);
        case Function::neg: return -x;
        case Function::square: return x * x;
        case Function::sin: return std::sin(x);
        case Function::cos: return std::cos(x);
        case Function::erf: return std::erf(x);
        case Function::floor: return std::floor(x);
        case Function::round: return std::nearbyint(x);
        case Function::hard_swish: return x * std::fmin(std::fmax(x + 3.0, 0.0), 6.0) / 6.0;
        case Function::elu: return x > 0.0 ? x : std::expm1(x);
        case Function::mish: return x * std::tanh(softplus(x));
        case Function::identity: return x;
    }
    return x;
}

}  // namespace orrery::core
