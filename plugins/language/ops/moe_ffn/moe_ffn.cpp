// y[t] = sum_j weights[t, j] down[e] (act(gate[e] x[t]) * (up[e] x[t])),  e = ids[t, j]
// x [.., E] f32    ids [.., k] i32    weights [.., k] f32    gate, up [X, F, E]    down [X, E, F]    y [.., E] f32
// Shazeer et al. 2017, arXiv:1701.06538 (sparse experts); Shazeer 2020, arXiv:2002.05202 (gated units).
#include "ops/moe_ffn/moe_ffn.hpp"

namespace orrery::language {
namespace {

void infer_moe(const Infer& i) {
    const std::string op = "orr.moe_ffn/1: ";
    linear::parse_activation("orr.moe_ffn/1", "activation", i.attr_string("activation"), kMoeActivations);
    const orr_value_info& x = i.in(kMoeX);
    if (x.rank < 1) throw Error(ORR_INVALID_ARGUMENT, op + "x has rank 0, wanted 1 or more");
    i.rank(kMoeIds, x.rank, "orr.moe_ffn/1: ids");
    i.rank(kMoeWeights, x.rank, "orr.moe_ffn/1: weights");
    for (int32_t axis = 0; axis < x.rank; ++axis) {
        const std::string at = "axis " + std::to_string(axis) + " of ";
        if (axis + 1 < x.rank) i.same(i.in(kMoeIds).dims[axis], x.dims[axis], op + at + "ids against x");
        i.same(i.in(kMoeWeights).dims[axis], i.in(kMoeIds).dims[axis], op + at + "weights against ids");
    }
    for (const uint32_t input : {kMoeGate, kMoeUp, kMoeDown}) i.rank(input, 3, input == kMoeGate ? "gate" : input == kMoeUp ? "up" : "down");
    const orr_value_info &gate = i.in(kMoeGate), &up = i.in(kMoeUp), &down = i.in(kMoeDown);
    for (int32_t axis = 0; axis < 3; ++axis) i.same(up.dims[axis], gate.dims[axis], op + "axis " + std::to_string(axis) + " of up against gate");
    i.same(down.dims[0], gate.dims[0], op + "experts of down against gate");
    i.same(down.dims[1], x.dims[x.rank - 1], op + "rows of down against columns of x");
    i.same(down.dims[2], gate.dims[1], op + "columns of down against rows of gate");
    i.same(gate.dims[2], x.dims[x.rank - 1], op + "columns of gate against those of x");
    i.out(0, ORR_TYPE_F32, Infer::dims(x));
}

uint64_t moe_flops(const orr_prepare* p) {
    const orr_tensor& gate = *p->inputs[kMoeGate];
    return 6ull * static_cast<uint64_t>(elements(*p->inputs[kMoeIds])) * static_cast<uint64_t>(gate.shape[1] * gate.shape[2]);
}

}  // namespace
}  // namespace orrery::language

const orr_operator* orr_op_moe_ffn() {
    using namespace orrery;
    static const Operator op = Operator("orr.moe_ffn/1", "y = sum_j weights_j down_e (act(gate_e x) * (up_e x)), e = ids_j")
                                   .input("x", "f32", "[.., E]")
                                   .input("ids", "i32", "[.., k], each in 0 .. X - 1")
                                   .input("weights", "f32", "[.., k]")
                                   .input("gate", "*", "[X, F, E]; any float or block type", ORR_PORT_WEIGHT)
                                   .input("up", "*", "[X, F, E]", ORR_PORT_WEIGHT)
                                   .input("down", "*", "[X, E, F]", ORR_PORT_WEIGHT)
                                   .output("y", "[.., E]")
                                   .attr("activation", ORR_ATTR_STRING, "\"silu\"", "of the gate", language::kMoeActivations)
                                   .infer(infer_guard<language::infer_moe>)
                                   .flops(language::moe_flops)
                                   .kernel(language::kMoeVulkan)
                                   .kernel(language::kMoeCpu)
                                   .kernel(language::kMoeReference);
    return op.table();
}
