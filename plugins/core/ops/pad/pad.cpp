// y = x with `before` and `after` elements added along each axis; torch.nn.functional.pad and numpy.pad.
#include "ops/pad/pad.hpp"

#include "common/shapes.hpp"

using namespace orrery;
using namespace orrery::core;

namespace orrery::core {

Padding padding_of(const orr_attrs* attrs, int32_t rank) {
    Padding p;
    p.mode = static_cast<PadMode>(choose("pad", "mode", attrs->get_string(attrs, "mode"), {"constant", "reflect", "replicate"}));
    p.value = attrs->get_float(attrs, "value");
    for (const char* name : {"before", "after"}) {
        const int64_t* values = nullptr;
        const size_t count = attrs->get_ints(attrs, name, &values);
        if (count != static_cast<size_t>(rank))
            throw Error(ORR_INVALID_ARGUMENT, std::string("pad: ") + name + " has " + std::to_string(count) + " axes, x has " + std::to_string(rank));
        Index& amounts = name[0] == 'b' ? p.before : p.after;
        for (int32_t axis = 0; axis < rank; axis++) {
            if (values[axis] < 0)
                throw Error(ORR_INVALID_ARGUMENT, std::string("pad: ") + name + " is " + std::to_string(values[axis]) + " along axis " + std::to_string(axis));
            amounts[axis] = values[axis];
        }
    }
    return p;
}

}  // namespace orrery::core

namespace {

orr_status infer(const orr_infer* raw) {
    return guard(raw->host, [&] {
        const Infer i(raw);
        const orr_value_info& x = i.in(0);
        const Padding p = padding_of(raw->attrs, x.rank);
        std::vector<orr_dim> dims = Infer::dims(x);
        for (int32_t axis = 0; axis < x.rank; axis++) {
            const int64_t most = std::max(p.before[axis], p.after[axis]);
            if (x.dims[axis] >= 0 && most > 0) {
                const int64_t least = p.mode == PadMode::reflect ? most + 1 : p.mode == PadMode::replicate ? 1 : 0;
                if (x.dims[axis] < least)
                    throw Error(ORR_INVALID_ARGUMENT, "pad: axis " + std::to_string(axis) + " has " + std::to_string(x.dims[axis]) +
                                                          " elements, padding by " + std::to_string(most) + " in this mode needs " + std::to_string(least));
            }
            dims[axis] = i.add(dims[axis], p.before[axis] + p.after[axis]);
        }
        i.out(0, x.type, dims);
    });
}

}  // namespace

const orr_operator* orr_op_pad() {
    static const Operator op = Operator("orr.pad/1", "x with elements added at both ends of its axes; torch.nn.functional.pad")
                                   .input("x", kPlainTypes, "any shape")
                                   .output("y", "shape[k] = before[k] + x.shape[k] + after[k]", kPlainTypes)
                                   .attr("before", ORR_ATTR_INTS, nullptr, "elements added in front, one number an axis", "[0, inf)", 0, ORR_MAX_RANK)
                                   .attr("after", ORR_ATTR_INTS, nullptr, "elements added behind, one number an axis", "[0, inf)", 0, ORR_MAX_RANK)
                                   .attr("value", ORR_ATTR_FLOAT, "0", "of the added elements in mode constant")
                                   .attr("mode", ORR_ATTR_STRING, "\"constant\"", "where the added elements come from; reflect does not repeat the edge", "constant|reflect|replicate")
                                   .infer(infer)
                                   .kernel(kPadVulkan)
                                   .kernel({"cpu", "cpu", 0, nullptr, nullptr, pad_cpu})
                                   .kernel({"reference", "cpu", ORR_KERNEL_REFERENCE, nullptr, nullptr, pad_reference});
    return op.table();
}
