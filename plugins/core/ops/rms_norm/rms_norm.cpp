// y[r, i] = x[r, i] / sqrt(mean_i(x[r, i]^2) + eps) * (w[i] + weight_offset)
// x, y: [.., E] f32    w: [E] f32 | f16 | bf16, 1 where absent
// Zhang & Sennrich 2019, arXiv:1910.07467
#include "ops/rms_norm/rms_norm.hpp"

namespace orrery::core {
namespace {

void infer_rms_norm(const Infer& i) { infer_rows(i, "orr.rms_norm/1"); }

}  // namespace
}  // namespace orrery::core

const orr_operator* orr_op_rms_norm() {
    using namespace orrery;
    static const Operator op = Operator("orr.rms_norm/1", "y = x / sqrt(mean(x^2) + eps) * (w + weight_offset); arXiv:1910.07467")
                                   .input("x", "f32", "[.., E]")
                                   .input("w", "f32 f16 bf16", "[E], 1 where absent", ORR_PORT_OPTIONAL | ORR_PORT_WEIGHT)
                                   .output("y", "[.., E], as x")
                                   .attr("eps", ORR_ATTR_FLOAT, "1e-6", "added to the mean square", "[0, inf)")
                                   .attr("weight_offset", ORR_ATTR_FLOAT, "0", "added to w; Gemma keeps w - 1")
                                   .traits(ORR_TRAIT_NORM)
                                   .infer(infer_guard<core::infer_rms_norm>)
                                   .kernel(core::kRmsNormVulkan)
                                   .kernel(core::kRmsNormCpu)
                                   .kernel(core::kRmsNormReference);
    return op.table();
}
