// y[t, j] = w[ids[t, j]] x[t], or w[ids[t, j]] x[t, j] where each expert has an x of its own
// x [.., K] or [.., k, K] f32    ids [.., k] i32    w [X, N, K]    y [.., k, N] f32
// The products of a layer of experts (Shazeer et al. 2017, arXiv:1701.06538), for what comes between them.
#include "ops/moe_linear/moe_linear.hpp"

namespace orrery::language {
namespace {

void infer_moe_linear(const Infer& i) {
    const std::string op = "orr.moe_linear/1: ";
    const orr_value_info &x = i.in(kMoeLinearX), &ids = i.in(kMoeLinearIds), &w = i.in(kMoeLinearWeight);
    if (ids.rank < 1) throw Error(ORR_INVALID_ARGUMENT, op + "ids has rank 0, wanted 1 or more");
    if (x.rank != ids.rank && x.rank != ids.rank + 1)
        throw Error(ORR_INVALID_ARGUMENT,
                    op + "x has rank " + std::to_string(x.rank) + ", wanted " + std::to_string(ids.rank) + " or " + std::to_string(ids.rank + 1));
    i.rank(kMoeLinearWeight, 3, "orr.moe_linear/1: w");
    for (int32_t axis = 0; axis + 1 < x.rank; ++axis) i.same(ids.dims[axis], x.dims[axis], op + "axis " + std::to_string(axis) + " of ids against x");
    i.same(w.dims[2], x.dims[x.rank - 1], op + "columns of w against those of x");
    std::vector<orr_dim> dims = Infer::dims(ids);
    dims.push_back(w.dims[1]);
    i.out(0, ORR_TYPE_F32, dims);
}

uint64_t moe_linear_flops(const orr_prepare* p) {
    const orr_tensor& w = *p->inputs[kMoeLinearWeight];
    return 2ull * static_cast<uint64_t>(elements(*p->inputs[kMoeLinearIds])) * static_cast<uint64_t>(w.shape[1] * w.shape[2]);
}

}  // namespace
}  // namespace orrery::language

const orr_operator* orr_op_moe_linear() {
    using namespace orrery;
    static const Operator op = Operator("orr.moe_linear/1", "y_j = w_e x or w_e x_j, e = ids_j")
                                   .input("x", "f32", "[.., K], or [.., k, K]")
                                   .input("ids", "i32", "[.., k], each in 0 .. X - 1")
                                   .input("w", "*", "[X, N, K]; any float or block type", ORR_PORT_WEIGHT)
                                   .output("y", "[.., k, N]")
                                   .infer(infer_guard<language::infer_moe_linear>)
                                   .flops(language::moe_linear_flops)
                                   .kernel(language::kMoeLinearVulkan)
                                   .kernel(language::kMoeLinearCpu)
                                   .kernel(language::kMoeLinearReference);
    return op.table();
}
