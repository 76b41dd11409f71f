// y[i_0 … i_r] = x[…] with y's axis k being x's axis perm[k]; torch.permute.
#include "common/view.hpp"

using namespace orrery;
using namespace orrery::core;

namespace {

void infer(const Infer& i) {
    const orr_value_info& x = i.in(0);
    const std::vector<int64_t> perm = i.attr_ints("perm");
    if (perm.size() != static_cast<size_t>(x.rank))
        throw Error(ORR_INVALID_ARGUMENT, "transpose: perm has " + std::to_string(perm.size()) + " axes, x has " + std::to_string(x.rank));
    std::vector<orr_dim> dims;
    uint32_t seen = 0;
    for (const int64_t p : perm) {
        const int32_t axis = normal_axis(p, x.rank, "transpose");
        if (seen & 1u << axis) throw Error(ORR_INVALID_ARGUMENT, "transpose: perm names axis " + std::to_string(axis) + " twice");
        seen |= 1u << axis;
        dims.push_back(x.dims[axis]);
    }
    i.out(0, x.type, dims);
}

View view(const orr_attrs* attrs, const orr_tensor& x, const orr_tensor&) {
    const int64_t* perm = nullptr;
    attrs->get_ints(attrs, "perm", &perm);
    View v;
    v.rank = x.rank;
    for (int32_t k = 0; k < x.rank; k++) {
        const int32_t axis = normal_axis(perm[k], x.rank, "transpose");
        v.shape[k] = x.shape[axis];
        v.stride[k] = x.stride_bytes[axis];
    }
    return v;
}

Operator describe_operator() {
    Operator op("orr.transpose/1", "y = x with its axes in the order perm; torch.permute");
    op.input("x", kPlainTypes, "any shape")
        .output("y", "shape[k] = x.shape[perm[k]]", kPlainTypes)
        .attr("perm", ORR_ATTR_INTS, nullptr, "each axis of x once; negative ones count from the end", "[-8, 7]", 0, ORR_MAX_RANK)
        .infer(infer_guard<infer>);
    return view_kernels<view>(op);
}

}  // namespace

const orr_operator* orr_op_transpose() {
    static const Operator op = describe_operator();
    return op.table();
}
