// y[b, t, c] = activation(bias[c] + sum_j w[c, j] x[b, t - (K - 1) + j, c]); x before 0 is the state, oldest first
// x, y [B, T, C] f32    w [C, 1, K] or [C, K]    bias [C]    state, new_state [B, C, K - 1] f32, layout rows
// Gu & Dao 2023, arXiv:2312.00752 (the convolution before the scan)
#include "ops/causal_conv1d/causal_conv1d.hpp"

namespace orrery::ssm {
namespace {

void check_shapes(const Infer& i) {
    const std::string op = "orr.causal_conv1d/1: ";
    i.rank(kConvX, 3, "orr.causal_conv1d/1: x");
    i.rank(kConvState, 3, "orr.causal_conv1d/1: state");
    const orr_value_info &x = i.in(kConvX), &w = i.in(kConvWeight), &state = i.in(kConvState);
    if (w.rank != 2 && w.rank != 3) throw Error(ORR_INVALID_ARGUMENT, op + "w has rank " + std::to_string(w.rank) + ", wanted 2 or 3");
    if (w.rank == 3) i.same(w.dims[1], 1, op + "axis 1 of w against one channel a group");
    i.same(w.dims[0], x.dims[2], op + "channels of w against x");
    i.same(state.dims[0], x.dims[0], op + "batch of state against x");
    i.same(state.dims[1], x.dims[2], op + "channels of state against x");
    i.same(i.add(state.dims[2], 1), w.dims[w.rank - 1], op + "history of state, plus one, against taps of w");
    if (i.has(kConvBias)) {
        i.rank(kConvBias, 1, "orr.causal_conv1d/1: bias");
        i.same(i.in(kConvBias).dims[0], x.dims[2], op + "elements of bias against channels of x");
    }
    wants_silu(i.attr_string("activation"));
    i.out(0, ORR_TYPE_F32, Infer::dims(x));
}

orr_status infer(const orr_infer* raw) {
    return guard(raw->host, [&] {
        check_shapes(Infer(raw));
        flt::copy_info(raw, 1, kConvState);
    });
}

}  // namespace
}  // namespace orrery::ssm

const orr_operator* orr_op_causal_conv1d() {
    using namespace orrery;
    static const Operator op = Operator("orr.causal_conv1d/1", "depthwise causal convolution with a carried state; arXiv:2312.00752")
                                   .input("x", "f32", "[B, T, C]")
                                   .input("w", "f32 f16 bf16", "[C, 1, K] or [C, K]", ORR_PORT_WEIGHT)
                                   .input("bias", "f32 f16 bf16", "[C]", ORR_PORT_OPTIONAL | ORR_PORT_WEIGHT)
                                   .input("state", "f32", "[B, C, K - 1], the last inputs, oldest first; layout rows", 0, "rows")
                                   .output("y", "[B, T, C]")
                                   .token_axis(1)
                                   .output("new_state", "[B, C, K - 1], layout rows; may be the state", "f32", 0, "rows")
                                   .attr("activation", ORR_ATTR_STRING, "\"none\"", "of the sum", "none|silu")
                                   .traits(ORR_TRAIT_STATEFUL)
                                   .infer(ssm::infer)
                                   .kernel(ssm::kCausalConv1dVulkan)
                                   .kernel(ssm::kCausalConv1dCpu)
                                   .kernel(ssm::kCausalConv1dReference);
    return op.table();
}
