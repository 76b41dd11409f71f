// y = e^(x - max x) / sum e^(x - max x) along one axis, as torch.softmax has it; a line of -inf throughout gives NaN there, zeros here
// x, y: [..] f32
#include "ops/softmax/softmax.hpp"

namespace orrery::core {
namespace {

void infer_softmax(const Infer& i) {
    infer_rows(i, "orr.softmax/1");
    const int64_t axis = i.attr_int("axis"), rank = i.in(0).rank;
    if (axis < -rank || axis >= rank)
        throw Error(ORR_INVALID_ARGUMENT, "orr.softmax/1: axis is " + std::to_string(axis) + ", x has rank " + std::to_string(rank));
}

}  // namespace
}  // namespace orrery::core

const orr_operator* orr_op_softmax() {
    using namespace orrery;
    static const Operator op = Operator("orr.softmax/1", "y = e^(x - max) / sum along an axis; torch.softmax")
                                   .input("x", "f32", "[.., E]")
                                   .output("y", "[.., E], as x")
                                   .attr("axis", ORR_ATTR_INT, "-1", "negative: from the end", "[-8, 7]")
                                   .infer(infer_guard<core::infer_softmax>)
                                   .kernel(core::kSoftmaxVulkan)
                                   .kernel(core::kSoftmaxCpu)
                                   .kernel(core::kSoftmaxReference);
    return op.table();
}
