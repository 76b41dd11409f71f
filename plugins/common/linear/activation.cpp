#include "linear/activation.hpp"

#include <cmath>

#include "orrery/plugin.hpp"

namespace orrery::linear {

flt::Activation parse_activation(const char* op, const char* attr, std::string_view name, std::string_view allowed) {
    static constexpr struct {
        std::string_view name;
        flt::Activation value;
    } kNames[] = {{"none", flt::Activation::none},       {"gelu", flt::Activation::gelu_erf}, {"gelu_tanh", flt::Activation::gelu_tanh},
                  {"quick_gelu", flt::Activation::quick_gelu}, {"silu", flt::Activation::silu},     {"relu", flt::Activation::relu},
                  {"tanh", flt::Activation::tanh},       {"sigmoid", flt::Activation::sigmoid}};
    for (size_t at = 0; at <= allowed.size();) {
        const size_t bar = allowed.find('|', at);
        const size_t end = bar == std::string_view::npos ? allowed.size() : bar;
        if (allowed.substr(at, end - at) == name) {
            for (const auto& known : kNames) {
                if (known.name == name) return known.value;
            }
        }
        at = end + 1;
    }
    throw Error(ORR_INVALID_ARGUMENT,
                std::string(op) + ": " + attr + " is \"" + std::string(name) + "\"; it takes " + std::string(allowed));
}

double activate(flt::Activation activation, double x) {
    constexpr double kSqrtHalf = 0.70710678118654752440, kSqrt2OverPi = 0.79788456080286535588;
    switch (activation) {
        case flt::Activation::none: return x;
        case flt::Activation::gelu_erf: return 0.5 * x * (1.0 + std::erf(x * kSqrtHalf));
        case flt::Activation::gelu_tanh: return 0.5 * x * (1.0 + std::tanh(kSqrt2OverPi * (x + 0.044715 * x * x * x)));
        case flt::Activation::quick_gelu: return x / (1.0 + std::exp(-1.702 * x));
        case flt::Activation::silu: return x / (1.0 + std::exp(-x));
        case flt::Activation::relu: return x < 0.0 ? 0.0 : x;
        case flt::Activation::tanh: return std::tanh(x);
        case flt::Activation::sigmoid: return 1.0 / (1.0 + std::exp(-x));
    }
    return x;
}

}  // namespace orrery::linear
