// y[i] = f(x[i]) for the element functions of neural networks; formulas in README.md.
#include "ops/activation/activation.hpp"

#define ORR_FUNCTIONS \
    "gelu|gelu_tanh|quick_gelu|silu|relu|relu2|tanh|sigmoid|softplus|exp|log|sqrt|rsqrt|abs|neg|square|sin|cos|erf|floor|round|hard_swish|elu|mish|identity"

using namespace orrery;

namespace orrery::core {

Function function_of(const orr_attrs* attrs) {
    const std::string name = attrs->get_string(attrs, "function");
    const std::string all = ORR_FUNCTIONS;
    int32_t number = 0;
    for (size_t at = 0; at <= all.size(); number++) {
        const size_t end = std::min(all.find('|', at), all.size());
        if (all.compare(at, end - at, name) == 0) return static_cast<Function>(number);
        at = end + 1;
    }
    throw Error(ORR_INVALID_ARGUMENT, "activation: function is \"" + name + "\"; it takes " + all);
}

}  // namespace orrery::core

const orr_operator* orr_op_activation() {
    static const Operator op = core::unary_operator<core::Activation>("orr.activation/1", "y = f(x), f one of the usual activations and element functions", core::kActivationVulkan)
                                   .attr("function", ORR_ATTR_STRING, nullptr, "f; formulas in the README", ORR_FUNCTIONS);
    return op.table();
}
