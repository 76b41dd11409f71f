// y = f over the named axes of x; torch.mean, sum, amax, amin, var, std, prod, linalg.vector_norm.
#include "ops/reduce/reduce.hpp"

#include "common/shapes.hpp"

using namespace orrery;
using namespace orrery::core;

namespace orrery::core {

ReduceAttrs reduce_attrs(const orr_attrs* attrs, int32_t rank) {
    ReduceAttrs a;
    a.function = static_cast<Reduction>(
        choose("reduce", "function", attrs->get_string(attrs, "function"), {"mean", "sum", "max", "min", "var", "std", "prod", "l2"}));
    a.keepdims = attrs->get_int(attrs, "keepdims") != 0;
    a.unbiased = attrs->get_int(attrs, "unbiased") != 0;
    const int64_t* axes = nullptr;
    const size_t count = attrs->get_ints(attrs, "axes", &axes);
    for (size_t n = 0; n < count; n++) {
        const uint32_t bit = 1u << normal_axis(axes[n], rank, "reduce");
        if (a.axes & bit) throw Error(ORR_INVALID_ARGUMENT, "reduce: axes names axis " + std::to_string(axes[n]) + " twice");
        a.axes |= bit;
    }
    if (count == 0) a.axes = (1u << rank) - 1;
    return a;
}

}  // namespace orrery::core

namespace {

orr_status infer(const orr_infer* raw) {
    return guard(raw->host, [&] {
        const Infer i(raw);
        const orr_value_info& x = i.in(0);
        const ReduceAttrs a = reduce_attrs(raw->attrs, x.rank);
        const bool whole = a.function == Reduction::sum || a.function == Reduction::max || a.function == Reduction::min || a.function == Reduction::prod;
        if (x.type != ORR_TYPE_F32 && !whole)
            throw Error(ORR_INVALID_ARGUMENT, "reduce: " + i.attr_string("function") + " takes f32, x is " + type_name(x.type));
        std::vector<orr_dim> dims;
        for (int32_t axis = 0; axis < x.rank; axis++) {
            const bool reduced = a.axes >> axis & 1;
            if (reduced && x.dims[axis] == 0 && (a.function == Reduction::max || a.function == Reduction::min))
                throw Error(ORR_INVALID_ARGUMENT, "reduce: axis " + std::to_string(axis) + " has 0 elements, which have no " + i.attr_string("function"));
            if (!reduced) {
                dims.push_back(x.dims[axis]);
            } else if (a.keepdims) {
                dims.push_back(1);
            }
        }
        i.out(0, x.type, dims);
    });
}

}  // namespace

const orr_operator* orr_op_reduce() {
    static const Operator op = Operator("orr.reduce/1", "mean, sum, max, min, var, std, prod or l2 over axes; torch.mean and its kin")
                                   .input("x", kNumberTypes, "any shape; i32 and i64 for sum, max, min and prod")
                                   .output("y", "the shape of x without the reduced axes, or with extent 1 there", kNumberTypes)
                                   .attr("function", ORR_ATTR_STRING, nullptr, "what becomes of the axes", "mean|sum|max|min|var|std|prod|l2")
                                   .attr("axes", ORR_ATTR_INTS, "[]", "axes to reduce; negative ones count from the end; empty: all", "[-8, 7]", 0, ORR_MAX_RANK)
                                   .attr("keepdims", ORR_ATTR_BOOL, "false", "keep reduced axes with extent 1")
                                   .attr("unbiased", ORR_ATTR_BOOL, "false", "var and std: divide by n - 1 instead of n")
                                   .infer(infer)
                                   .kernel(kReduceVulkan)
                                   .kernel({"cpu", "cpu", 0, reduce_cpu_supports, nullptr, reduce_cpu})
                                   .kernel({"reference", "cpu", ORR_KERNEL_REFERENCE, nullptr, nullptr, reduce_reference});
    return op.table();
}
