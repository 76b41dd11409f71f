// y = x with axes of extent 1 repeated and new axes in front; torch.Tensor.expand.
#include "common/view.hpp"

using namespace orrery;
using namespace orrery::core;

namespace {

void infer(const Infer& i) {
    const orr_value_info& x = i.in(0);
    std::vector<int64_t> shape = i.attr_ints("shape");
    const bool like = i.has(1);
    if (shape.empty() && like) shape.assign(static_cast<size_t>(i.in(1).rank), 0);
    const int32_t rank = static_cast<int32_t>(shape.size());
    if (rank < x.rank)
        throw Error(ORR_INVALID_ARGUMENT, "expand: shape has " + std::to_string(rank) + " axes, x has " + std::to_string(x.rank));
    std::vector<orr_dim> dims;
    for (int32_t axis = 0; axis < rank; axis++) {
        const int32_t from = axis - (rank - x.rank);
        orr_dim want = shape[axis];
        if (want < -1) throw Error(ORR_INVALID_ARGUMENT, "expand: shape holds " + std::to_string(want) + "; it takes -1, 0 and extents");
        if (want == 0 && like) {
            if (axis >= i.in(1).rank)
                throw Error(ORR_INVALID_ARGUMENT,
                            "expand: axis " + std::to_string(axis) + " is asked of `like`, which has rank " + std::to_string(i.in(1).rank));
            want = i.in(1).dims[axis];
        } else if (want == -1) {
            if (from < 0) throw Error(ORR_INVALID_ARGUMENT, "expand: axis " + std::to_string(axis) + " is new and needs an extent, not -1");
            want = x.dims[from];
        }
        if (from >= 0 && x.dims[from] != 1) {
            i.same(x.dims[from], want, "expand: axis " + std::to_string(from) + " of x is not 1 and differs");
            if (want < 0) want = x.dims[from];
        }
        dims.push_back(want);
    }
    i.out(0, x.type, dims);
}

View view(const orr_attrs*, const orr_tensor& x, const orr_tensor& y) { return {y.rank, shape_of(y), broadcast_strides(x, y.rank), 0}; }

Operator describe_operator() {
    Operator op("orr.expand/1", "y = x with axes of extent 1 repeated; torch.Tensor.expand");
    op.input("x", kPlainTypes, "any shape")
        .input("like", "*", "only its shape is read: where `shape` holds 0, and throughout when `shape` is empty", ORR_PORT_OPTIONAL)
        .output("y", "the shape asked for", kPlainTypes)
        .attr("shape", ORR_ATTR_INTS, "[]", "extents, aligned with x at the right; -1 keeps x's, 0 takes like's at the same position", "[-1, inf)", 0, ORR_MAX_RANK)
        .infer(infer_guard<infer>);
    return view_kernels<view>(op);
}

}  // namespace

const orr_operator* orr_op_expand() {
    static const Operator op = describe_operator();
    return op.table();
}
