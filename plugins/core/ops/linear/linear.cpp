// y = activation(scale x w^T + bias) + residual
// x [.., K] f32    w [N, K] any float or block type    bias [N]    residual, y [.., N] f32
#include "ops/linear/linear.hpp"

#include <string>

namespace orrery::core {
namespace {

void infer_linear(const Infer& i) {
    const std::string op = "orr.linear/1: ";
    linear::parse_activation("orr.linear/1", "activation", i.attr_string("activation"));
    const orr_value_info& x = i.in(kLinearX);
    if (x.rank < 1) throw Error(ORR_INVALID_ARGUMENT, op + "x has rank 0, wanted 1 or more");
    i.rank(kLinearWeight, 2, "w");
    const orr_value_info& w = i.in(kLinearWeight);
    const bool transposed = i.attr_int("transposed") != 0;
    const orr_dim rows = w.dims[transposed ? 1 : 0];
    i.same(x.dims[x.rank - 1], w.dims[transposed ? 0 : 1], op + "columns of x against those of w");
    if (i.has(kLinearBias)) {
        i.rank(kLinearBias, 1, "bias");
        i.same(i.in(kLinearBias).dims[0], rows, op + "elements of bias against rows of w");
    }
    std::vector<orr_dim> dims = Infer::dims(x);
    dims.back() = rows;
    if (i.has(kLinearResidual)) {
        i.rank(kLinearResidual, x.rank, "residual");
        for (int32_t axis = 0; axis < x.rank; ++axis) {
            i.same(i.in(kLinearResidual).dims[axis], dims[static_cast<size_t>(axis)], op + "axis " + std::to_string(axis) + " of residual against y");
        }
    }
    i.out(0, ORR_TYPE_F32, dims);
}

uint64_t linear_flops(const orr_prepare* p) {
    return 2ull * static_cast<uint64_t>(elements(*p->inputs[kLinearX])) * static_cast<uint64_t>(p->outputs[0]->shape[p->outputs[0]->rank - 1]);
}

}  // namespace
}  // namespace orrery::core

const orr_operator* orr_op_linear() {
    using namespace orrery;
    static const Operator op = Operator("orr.linear/1", "y = activation(scale x w^T + bias) + residual")
                                   .input("x", "f32", "[.., K]")
                                   .input("w", "*", "[N, K], or [K, N] where transposed; any float or block type", ORR_PORT_WEIGHT)
                                   .input("bias", "f32 f16 bf16", "[N]", ORR_PORT_OPTIONAL | ORR_PORT_WEIGHT)
                                   .input("residual", "f32", "[.., N], added last", ORR_PORT_OPTIONAL)
                                   .output("y", "[.., N]")
                                   .attr("activation", ORR_ATTR_STRING, "\"none\"", "of the sum; gelu is the exact one, with erf", linear::kActivations)
                                   .attr("transposed", ORR_ATTR_BOOL, "false", "w is [K, N], as GPT-2's Conv1D keeps it")
                                   .attr("scale", ORR_ATTR_FLOAT, "1", "factor of the product")
                                   .traits(ORR_TRAIT_LINEAR)
                                   .infer(infer_guard<core::infer_linear>)
                                   .flops(core::linear_flops)
                                   .kernel(core::kLinearVulkan)
                                   .kernel(core::kLinearCpu)
                                   .kernel(core::kLinearReference);
    return op.table();
}
