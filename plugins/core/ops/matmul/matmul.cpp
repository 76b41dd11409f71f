// y[.., m, n] = scale sum_k a[.., m, k] b[.., k, n]; batch axes broadcast from the right, as torch.matmul has it
// a [.., M, K] f32    b [.., K, N], or [.., N, K] where transpose_b    y [.., M, N] f32
#include "ops/matmul/matmul.hpp"

namespace orrery::core {
namespace {

void infer_matmul(const Infer& i) {
    const orr_value_info &a = i.in(0), &b = i.in(1);
    const std::string op = "orr.matmul/1: ";
    if (a.rank < 2 || b.rank < 2)
        throw Error(ORR_INVALID_ARGUMENT, op + "a has rank " + std::to_string(a.rank) + " and b " + std::to_string(b.rank) + ", wanted 2 or more");
    const bool turned = i.attr_int("transpose_b") != 0;
    i.same(a.dims[a.rank - 1], b.dims[b.rank - (turned ? 1 : 2)], op + "K of a against K of b");
    const int32_t rank = std::max(a.rank, b.rank);
    std::vector<orr_dim> dims;
    for (int32_t axis = 0; axis < rank - 2; ++axis) {
        const int32_t in_a = axis - (rank - a.rank), in_b = axis - (rank - b.rank);
        const orr_dim da = in_a < 0 ? 1 : a.dims[in_a], db = in_b < 0 ? 1 : b.dims[in_b];
        if (da != 1 && db != 1) i.same(da, db, op + "batch axis " + std::to_string(axis) + " of a against b");
        dims.push_back(da == 1 ? db : da);
    }
    dims.push_back(a.dims[a.rank - 2]);
    dims.push_back(b.dims[b.rank - (turned ? 2 : 1)]);
    i.out(0, ORR_TYPE_F32, dims);
}

uint64_t flops(const orr_prepare* p) {
    return 2ull * static_cast<uint64_t>(elements(*p->outputs[0])) * static_cast<uint64_t>(p->inputs[0]->shape[p->inputs[0]->rank - 1]);
}

}  // namespace
}  // namespace orrery::core

const orr_operator* orr_op_matmul() {
    using namespace orrery;
    static const Operator op = Operator("orr.matmul/1", "y = scale a b over broadcast batches; torch.matmul")
                                   .input("a", "f32", "[.., M, K]")
                                   .input("b", "f32", "[.., K, N], or [.., N, K] where transpose_b")
                                   .output("y", "[.., M, N]")
                                   .attr("transpose_b", ORR_ATTR_BOOL, "false", "b is [.., N, K]")
                                   .attr("scale", ORR_ATTR_FLOAT, "1", "factor of the product")
                                   .infer(infer_guard<core::infer_matmul>)
                                   .flops(core::flops)
                                   .kernel(core::kMatmulVulkan)
                                   .kernel(core::kMatmulCpu)
                                   .kernel(core::kMatmulReference);
    return op.table();
}
