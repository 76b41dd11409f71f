// y[i] = min(max(x[i], min), max); a NaN stays. torch.clamp.
#include "common/unary.hpp"
#include "common/unary_vulkan.hpp"
#include "clamp_shaders.hpp"
#include "ops/clamp/clamp.hpp"

using namespace orrery;

namespace {
struct Clamp {
    float low, high;
    explicit Clamp(const orr_attrs* a) : low(core::clamp_bound(a->get_float(a, "min"))), high(core::clamp_bound(a->get_float(a, "max"))) {
        if (low > high)
            throw Error(ORR_INVALID_ARGUMENT, "clamp: min is " + std::to_string(low) + ", max is " + std::to_string(high));
    }
    void reference(const float* x, float* y) const { *y = clamped(*x); }
    void row(const flt::VectorKernels&, const float* x, float* y, int64_t n) const {
        for (int64_t k = 0; k < n; k++) y[k] = clamped(x[k]);
    }
    float clamped(float v) const {
        const float raised = v < low ? low : v;
        return raised > high ? high : raised;
    }
};

core::UnaryArguments arguments(const orr_attrs* attrs) {
    const Clamp f(attrs);
    return {0, f.low, f.high};
}
}  // namespace

const orr_operator* orr_op_clamp() {
    static const Operator op = core::unary_operator<Clamp>("orr.clamp/1", "y = min(max(x, min), max); torch.clamp", core::kUnaryVulkan<shaders::unary_clamp, arguments>)
                                   .attr("min", ORR_ATTR_FLOAT, "-1.7976931348623157e308", "lower bound; beyond f32: none")
                                   .attr("max", ORR_ATTR_FLOAT, "1.7976931348623157e308", "upper bound; beyond f32: none");
    return op.table();
}
