// The formulas of orr.activation/1 for chains on devices.
#include "common/formulas.hpp"
#include "ops/activation/activation.hpp"

using namespace orrery;
using core::Function;
using expr::Number;

namespace {

Number formula(Number x, const orr_attrs* attrs) {
    namespace f = core::formulas;
    switch (core::function_of(attrs)) {
        case Function::gelu: return f::gelu(x);
        case Function::gelu_tanh: return f::gelu_tanh(x);
        case Function::quick_gelu: return f::quick_gelu(x);
        case Function::silu: return f::silu(x);
        case Function::relu: return f::relu(x);
        case Function::relu2: return f::relu(x) * f::relu(x);
        case Function::tanh: return f::tanh(x);
        case Function::sigmoid: return f::sigmoid(x);
        case Function::softplus: return f::softplus(x);
        case Function::exp: return f::exp(x);
        case Function::log: return f::log(x);
        case Function::sqrt: return sqrt(x);
        case Function::rsqrt: return 1.0f / sqrt(x);
        case Function::abs: return abs(x);
        case Function::neg: return -x;
        case Function::square: return x * x;
        case Function::sin: return f::sin(x);
        case Function::cos: return f::cos(x);
        case Function::erf: return f::erf(x);
        case Function::floor: return floor(x);
        case Function::round: return round(x);
        case Function::hard_swish: return f::hard_swish(x);
        case Function::elu: return f::elu(x);
        case Function::mish: return f::mish(x);
        case Function::identity: return x;
    }
    return {};
}

// The shape function has refused names that are not known.
orr_term emit(const orr_attrs* attrs, orr_expression* x, uint32_t n, const orr_term* inputs) noexcept try {
    return expr::emit_unary<formula>(attrs, x, n, inputs);
} catch (...) {
    return 0;
}

}  // namespace

const orr_formula* orr_formula_activation() {
    static const orr_formula f = {ORR_HEADER(orr_formula), "orr.activation/1", emit};
    return &f;
}
