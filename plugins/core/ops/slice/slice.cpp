// y = x[…, start:end:step, …] along one axis; Python's slicing with a positive step.
#include "common/view.hpp"

using namespace orrery;
using namespace orrery::core;

namespace {

struct Bounds {
    int64_t start, end, step;
};

Bounds bounds_of(const orr_attrs* a) {
    const Bounds b{a->get_int(a, "start"), a->get_int(a, "end"), a->get_int(a, "step")};
    if (b.step < 1) throw Error(ORR_INVALID_ARGUMENT, "slice: step is " + std::to_string(b.step) + ", it must be 1 or more");
    return b;
}

// The number of elements kept of `extent`, which may be symbolic. Symbolic extents are taken to hold start and end.
orr_dim kept(const Infer& i, orr_dim extent, Bounds b) {
    orr_dim length;
    if (extent >= 0) {
        clamp_slice(extent, &b.start, &b.end);
        length = b.end - b.start;
    } else if (b.end == INT64_MAX) {
        length = b.start >= 0 ? i.sub(extent, b.start) : -b.start;
    } else if ((b.start >= 0) == (b.end >= 0)) {
        length = b.end > b.start ? b.end - b.start : 0;
    } else if (b.end < 0) {
        length = i.sub(extent, b.start - b.end);
    } else {
        length = i.sub(i.add(b.end, -b.start), extent);
    }
    if (b.step == 1) return length;
    return i.div(i.add(length, b.step - 1), b.step);
}

orr_status infer(const orr_infer* raw) {
    return guard(raw->host, [&] {
        const Infer i(raw);
        const orr_value_info& x = i.in(0);
        const int32_t axis = normal_axis(i.attr_int("axis"), x.rank, "slice");
        std::vector<orr_dim> dims = Infer::dims(x);
        dims[axis] = kept(i, dims[axis], bounds_of(raw->attrs));
        i.out(0, x.type, dims);
    });
}

View view(const orr_attrs* attrs, const orr_tensor& x, const orr_tensor& y) {
    Bounds b = bounds_of(attrs);
    const int32_t axis = normal_axis(attrs->get_int(attrs, "axis"), x.rank, "slice");
    clamp_slice(x.shape[axis], &b.start, &b.end);
    View v{x.rank, shape_of(y), strides_of(x), 0};
    // Of a constant in blocks, at whole ones alone.
    if (const int64_t block = axis == x.rank - 1 ? x.block_elems : 1; block > 1) {
        if (b.start % block || b.step != 1) throw Error(ORR_INVALID_ARGUMENT, "slice: a start of " + std::to_string(b.start) + " is inside of a block of " + std::to_string(block));
        b.start /= block;
    }
    v.offset = v.shape[axis] > 0 ? b.start * x.stride_bytes[axis] : 0;
    v.stride[axis] *= b.step;
    return v;
}

Operator describe_operator() {
    Operator op("orr.slice/1", "y = x[start:end:step] along one axis; Python slicing");
    op.input("x", kPlainTypes, "any shape")
        .output("y", "the shape of x but for `axis`", kPlainTypes)
        .attr("axis", ORR_ATTR_INT, nullptr, "axis that is cut; negative ones count from the end", "[-8, 7]")
        .attr("start", ORR_ATTR_INT, "0", "first element; negative from the end")
        .attr("end", ORR_ATTR_INT, "9223372036854775807", "element after the last one; negative from the end, 2^63 - 1: all")
        .attr("step", ORR_ATTR_INT, "1", "distance of the elements that are kept, 1 or more", "[1, inf)")
        .infer(infer);
    return view_kernels<view>(op);
}

}  // namespace

const orr_operator* orr_op_slice() {
    static const Operator op = describe_operator();
    return op.table();
}
