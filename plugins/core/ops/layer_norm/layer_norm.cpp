// y[r, i] = (x[r, i] - mean_i(x[r])) / sqrt(var_i(x[r]) + eps) * w[i] + b[i], biased variance
// x, y: [.., E] f32    w, b: [E] f32 | f16 | bf16, 1 and 0 where absent
// Ba et al. 2016, arXiv:1607.06450
#include "ops/layer_norm/layer_norm.hpp"

namespace orrery::core {
namespace {

void infer_layer_norm(const Infer& i) { infer_rows(i, "orr.layer_norm/1"); }

}  // namespace
}  // namespace orrery::core

const orr_operator* orr_op_layer_norm() {
    using namespace orrery;
    static const Operator op = Operator("orr.layer_norm/1", "y = (x - mean) / sqrt(var + eps) * w + b; arXiv:1607.06450")
                                   .input("x", "f32", "[.., E]")
                                   .input("w", "f32 f16 bf16", "[E], 1 where absent", ORR_PORT_OPTIONAL | ORR_PORT_WEIGHT)
                                   .input("b", "f32 f16 bf16", "[E], 0 where absent", ORR_PORT_OPTIONAL | ORR_PORT_WEIGHT)
                                   .output("y", "[.., E], as x")
                                   .attr("eps", ORR_ATTR_FLOAT, "1e-5", "added to the variance", "[0, inf)")
                                   .traits(ORR_TRAIT_NORM)
                                   .infer(infer_guard<core::infer_layer_norm>)
                                   .kernel(core::kLayerNormVulkan)
                                   .kernel(core::kLayerNormCpu)
                                   .kernel(core::kLayerNormReference);
    return op.table();
}
