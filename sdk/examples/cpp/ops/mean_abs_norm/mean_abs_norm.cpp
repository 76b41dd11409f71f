// y[r, i] = x[r, i] / (mean_i(|x[r, i]|) + eps)
// x, y: [.., E] f32
#include "ops/mean_abs_norm/mean_abs_norm.hpp"

namespace example {
namespace {

void infer_shape(const orrery::Infer& i) {
    if (i.in(0).rank < 1) throw orrery::Error(ORR_INVALID_ARGUMENT, "example.mean_abs_norm/1: x has rank 0, wanted 1 or more");
    i.out(0, ORR_TYPE_F32, orrery::Infer::dims(i.in(0)));
}

}  // namespace
}  // namespace example

const orr_operator* orr_op_mean_abs_norm() {
    using namespace orrery;
    static const Operator op = Operator("example.mean_abs_norm/1", "y = x / (mean(|x|) + eps)")
                                   .input("x", "f32", "[.., E]")
                                   .output("y", "[.., E], as x")
                                   .attr("eps", ORR_ATTR_FLOAT, "1e-6", "added to the mean magnitude", "[0, inf)")
                                   .infer(infer_guard<example::infer_shape>)
                                   .kernel(example::kMeanAbsNormVulkan)
                                   .kernel(example::kMeanAbsNormCpu)
                                   .kernel(example::kMeanAbsNormReference);
    return op.table();
}
