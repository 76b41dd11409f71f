// y[…, w, …, k] = x[…, w * step + k, …]: windows of `size` along one axis; torch.Tensor.unfold.
#include "common/view.hpp"

using namespace orrery;
using namespace orrery::core;

namespace {

void infer(const Infer& i) {
    const orr_value_info& x = i.in(0);
    const int32_t axis = normal_axis(i.attr_int("axis"), x.rank, "unfold");
    const int64_t size = i.attr_int("size"), step = i.attr_int("step");
    if (size < 1 || step < 1)
        throw Error(ORR_INVALID_ARGUMENT, "unfold: size is " + std::to_string(size) + " and step " + std::to_string(step) + "; both must be 1 or more");
    std::vector<orr_dim> dims = Infer::dims(x);
    if (dims[axis] >= 0 && dims[axis] < size)
        throw Error(ORR_INVALID_ARGUMENT, "unfold: size is " + std::to_string(size) + ", axis " + std::to_string(axis) + " has " + std::to_string(dims[axis]));
    dims[axis] = i.add(i.div(i.sub(dims[axis], size), step), 1);
    dims.push_back(size);
    i.out(0, x.type, dims);
}

View view(const orr_attrs* attrs, const orr_tensor& x, const orr_tensor& y) {
    const int32_t axis = normal_axis(attrs->get_int(attrs, "axis"), x.rank, "unfold");
    View v{y.rank, shape_of(y), strides_of(x), 0};
    v.stride[x.rank] = x.stride_bytes[axis];
    v.stride[axis] *= attrs->get_int(attrs, "step");
    return v;
}

Operator describe_operator() {
    Operator op("orr.unfold/1", "windows of `size` every `step` along an axis, as a new last axis; torch.Tensor.unfold");
    op.input("x", kPlainTypes, "any shape")
        .output("y", "shape[axis] = (L - size) / step + 1, then size as a new last axis", kPlainTypes)
        .attr("axis", ORR_ATTR_INT, nullptr, "axis that is cut into windows; negative ones count from the end", "[-8, 7]")
        .attr("size", ORR_ATTR_INT, nullptr, "elements of a window", "[1, inf)")
        .attr("step", ORR_ATTR_INT, nullptr, "distance between the starts of windows", "[1, inf)")
        .infer(infer_guard<infer>);
    return view_kernels<view>(op);
}

}  // namespace

const orr_operator* orr_op_unfold() {
    static const Operator op = describe_operator();
    return op.table();
}
