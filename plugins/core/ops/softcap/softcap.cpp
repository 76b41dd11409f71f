// y[i] = tanh(x[i] / cap) * cap
// Gemma 2 (arXiv:2408.00118, section 2): logits stay within (-cap, cap).
#include <cmath>

#include "common/unary.hpp"
#include "common/unary_vulkan.hpp"
#include "softcap_shaders.hpp"

using namespace orrery;

namespace {
struct Softcap {
    float cap;
    explicit Softcap(const orr_attrs* a) : cap(static_cast<float>(a->get_float(a, "cap"))) {
        if (!(cap > 0)) throw Error(ORR_INVALID_ARGUMENT, "softcap: cap is " + std::to_string(cap) + ", it must be above 0");
    }
    void reference(const float* x, float* y) const {
        *y = static_cast<float>(std::tanh(static_cast<double>(*x) / static_cast<double>(cap)) * static_cast<double>(cap));
    }
    void row(const flt::VectorKernels& kernels, const float* x, float* y, int64_t n) const {
        for (int64_t k = 0; k < n; k++) y[k] = x[k] / cap;
        kernels.unary(flt::Unary::tanh, y, y, n);
        for (int64_t k = 0; k < n; k++) y[k] *= cap;
    }
};

core::UnaryArguments arguments(const orr_attrs* attrs) {
    const Softcap f(attrs);
    return {0, f.cap, 0.0f};
}
}  // namespace

const orr_operator* orr_op_softcap() {
    static const Operator op = core::unary_operator<Softcap>("orr.softcap/1", "y = tanh(x / cap) * cap; arXiv:2408.00118", core::kUnaryVulkan<shaders::unary_softcap, arguments>)
                                   .attr("cap", ORR_ATTR_FLOAT, nullptr, "bound of |y|, above 0", "(0, inf)");
    return op.table();
}
