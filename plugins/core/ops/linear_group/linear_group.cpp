// yi = x wi^T + bi for several weights at once; or, with a gate, y = act(x w0^T + b0) * (x w1^T + b1)
// normed: of x / sqrt(mean(x^2) + eps) * (norm + weight_offset) instead of x, as orr.rms_norm/1
// x [.., K] f32    norm [K]    wi [Ni, K] any float or block type    bi [Ni]    yi [.., Ni] f32
// Gated units: Shazeer 2020, arXiv:2002.05202.
#include "ops/linear_group/linear_group.hpp"

#include <string>

namespace orrery::core {
namespace {

void infer_group(const Infer& i, uint32_t n_inputs, uint32_t n_outputs) {
    const std::string op = "orr.linear_group/1: ";
    const bool gated = linear::parse_activation("orr.linear_group/1", "glu", i.attr_string("glu"), kGlus) != flt::Activation::none;
    const orr_value_info& x = i.in(0);
    if (x.rank < 1) throw Error(ORR_INVALID_ARGUMENT, op + "x has rank 0, wanted 1 or more");
    if (i.has(kGroupNorm)) {
        if (i.attr_int("normed") == 0) throw Error(ORR_INVALID_ARGUMENT, op + "norm is given and normed is false");
        i.rank(kGroupNorm, 1, (op + "norm").c_str());
        i.same(i.in(kGroupNorm).dims[0], x.dims[x.rank - 1], op + "elements of norm against columns of x");
    }
    const uint32_t parts = group_parts(n_inputs);
    if (parts == 0) throw Error(ORR_INVALID_ARGUMENT, op + "no weights");
    if (gated && parts != 2) throw Error(ORR_INVALID_ARGUMENT, op + "a gate takes 2 weights, not " + std::to_string(parts));
    const uint32_t wanted = gated ? 1 : parts;
    if (n_outputs != wanted) {
        throw Error(ORR_INVALID_ARGUMENT, op + std::to_string(n_outputs) + " outputs, the weights give " + std::to_string(wanted));
    }
    for (uint32_t part = 0; part < parts; ++part) {
        const uint32_t at = group_weight(part);
        const std::string name = "w" + std::to_string(part);
        if (!i.has(at)) throw Error(ORR_INVALID_ARGUMENT, op + name + " is missing");
        i.rank(at, 2, (op + name).c_str());
        i.same(x.dims[x.rank - 1], i.in(at).dims[1], op + "columns of x against those of " + name);
        if (i.has(at + 1)) {
            i.rank(at + 1, 1, (op + "b" + std::to_string(part)).c_str());
            i.same(i.in(at + 1).dims[0], i.in(at).dims[0], op + "elements of b" + std::to_string(part) + " against rows of " + name);
        }
        if (gated && part == 1) i.same(i.in(group_weight(0)).dims[0], i.in(at).dims[0], op + "rows of w0 against those of w1");
        if (part < wanted) {
            std::vector<orr_dim> dims = Infer::dims(x);
            dims.back() = i.in(at).dims[0];
            i.out(part, ORR_TYPE_F32, dims);
        }
    }
}

orr_status infer(const orr_infer* i) {
    return guard(i->host, [&] { infer_group(Infer(i), i->n_inputs, i->n_outputs); });
}

uint64_t group_flops(const orr_prepare* p) {
    uint64_t rows = 0;
    for (uint32_t part = 0; part < group_parts(p->n_inputs); ++part) rows += static_cast<uint64_t>(p->inputs[group_weight(part)]->shape[0]);
    return 2 * static_cast<uint64_t>(elements(*p->inputs[0])) * rows;
}

}  // namespace
}  // namespace orrery::core

const orr_operator* orr_op_linear_group() {
    using namespace orrery;
    static const Operator op = Operator("orr.linear_group/1", "yi = x wi^T + bi; with glu: y = glu(x w0^T + b0) * (x w1^T + b1)")
                                   .input("x", "f32", "[.., K]")
                                   .input("norm", "f32 f16 bf16", "[K], where normed; absent: ones", ORR_PORT_OPTIONAL | ORR_PORT_WEIGHT)
                                   .input("parts", "*", "w0 [N0, K], b0 [N0] or absent, w1, b1, …", ORR_PORT_VARIADIC | ORR_PORT_OPTIONAL | ORR_PORT_WEIGHT)
                                   .output("y", "[.., Ni] for each weight, one with glu", "f32", ORR_PORT_VARIADIC)
                                   .attr("glu", ORR_ATTR_STRING, "\"none\"", "function of the gate, whose product with the other result is the one output; none: each result for itself", core::kGlus)
                                   .attr("normed", ORR_ATTR_BOOL, "false", "x goes through orr.rms_norm/1 first")
                                   .attr("eps", ORR_ATTR_FLOAT, "0", "of the norm, added to the mean square", "[0, inf)")
                                   .attr("weight_offset", ORR_ATTR_FLOAT, "0", "of the norm, added to its weights")
                                   .infer(core::infer)
                                   .flops(core::group_flops)
                                   .kernel(core::kLinearGroupVulkan)
                                   .kernel(core::kLinearGroupCpu)
                                   .kernel(core::kLinearGroupReference);
    return op.table();
}
