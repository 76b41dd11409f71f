// y[r, i] = x[r, i] / max(||x[r]||, eps), as torch.nn.functional.normalize has it
// x, y: [.., E] f32
#include "ops/l2_norm/l2_norm.hpp"

namespace orrery::core {
namespace {

void infer_l2_norm(const Infer& i) { infer_rows(i, "orr.l2_norm/1"); }

}  // namespace
}  // namespace orrery::core

const orr_operator* orr_op_l2_norm() {
    using namespace orrery;
    static const Operator op = Operator("orr.l2_norm/1", "y = x / max(||x||, eps); torch.nn.functional.normalize")
                                   .input("x", "f32", "[.., E]")
                                   .output("y", "[.., E], as x")
                                   .attr("eps", ORR_ATTR_FLOAT, "0", "least norm divided by; with 0 a row of zeros gives NaN", "[0, inf)")
                                   .traits(ORR_TRAIT_NORM)
                                   .infer(infer_guard<core::infer_l2_norm>)
                                   .kernel(core::kL2NormVulkan)
                                   .kernel(core::kL2NormCpu)
                                   .kernel(core::kL2NormReference);
    return op.table();
}
