// y[(i + shift) mod n] = x[i] along each named axis; torch.roll.
#include "common/copy.hpp"
#include "common/shapes.hpp"
#include "ops/roll/roll.hpp"

using namespace orrery;
using namespace orrery::core;

namespace {

// Shift of each axis, summed where an axis is named twice; not yet reduced modulo the extent.
Index shifts_of(const orr_attrs* attrs, int32_t rank) {
    const int64_t *shifts = nullptr, *axes = nullptr;
    const size_t count = attrs->get_ints(attrs, "shifts", &shifts), named = attrs->get_ints(attrs, "axes", &axes);
    if (count != named)
        throw Error(ORR_INVALID_ARGUMENT, "roll: shifts has " + std::to_string(count) + " numbers, axes has " + std::to_string(named));
    Index out{};
    for (size_t n = 0; n < count; n++) out[normal_axis(axes[n], rank, "roll")] += shifts[n];
    return out;
}

}  // namespace

namespace orrery::core {
Index roll_origins(const orr_attrs* attrs, const orr_tensor& x) {
    Index from = shifts_of(attrs, x.rank);
    for (int32_t axis = 0; axis < x.rank; axis++) {
        const int64_t n = std::max<int64_t>(1, x.shape[axis]);
        from[axis] = ((-from[axis]) % n + n) % n;
    }
    return from;
}
}  // namespace orrery::core

namespace {

orr_status infer(const orr_infer* raw) {
    return guard(raw->host, [&] {
        const Infer i(raw);
        shifts_of(raw->attrs, i.in(0).rank);
        i.out(0, i.in(0).type, Infer::dims(i.in(0)));
    });
}

orr_status run_reference(const orr_run* run) {
    return guard(run->host, [&] {
        const orr_tensor &x = *run->inputs[0], &y = *run->outputs[0];
        const Index from = roll_origins(run->attrs, x);
        for_each_index(y.rank, shape_of(y), [&](const Index& at) {
            Index src{};
            for (int32_t axis = 0; axis < x.rank; axis++) src[axis] = (at[axis] + from[axis]) % x.shape[axis];
            std::memcpy(static_cast<char*>(y.data) + offset_of(at, y.rank, strides_of(y)),
                        static_cast<const char*>(x.data) + offset_of(src, x.rank, strides_of(x)), x.block_bytes);
        });
    });
}

// Axes behind the last one that is rolled move together: each stretch of them is one copy.
orr_status run_cpu(const orr_run* run) {
    return guard(run->host, [&] {
        const orr_tensor &x = *run->inputs[0], &y = *run->outputs[0];
        if (is_empty(y.rank, shape_of(y))) return;
        const Index from = roll_origins(run->attrs, x), strides = strides_of(x);
        const int64_t bytes = x.block_bytes;
        int32_t outer = y.rank;
        int64_t stretch = 1;
        while (outer > 0 && from[outer - 1] == 0 && (strides[outer - 1] == stretch * bytes || x.shape[outer - 1] == 1)) stretch *= x.shape[--outer];
        for_ranges(run, elements(y) / stretch, stretch, [&](int64_t begin, int64_t end) {
            for (int64_t n = begin; n < end; n++) {
                int64_t rest = n, offset = 0;
                for (int32_t axis = outer - 1; axis >= 0; axis--) {
                    offset += (rest % y.shape[axis] + from[axis]) % y.shape[axis] * strides[axis];
                    rest /= y.shape[axis];
                }
                copy_row(static_cast<char*>(y.data) + n * stretch * bytes, bytes, static_cast<const char*>(x.data) + offset, bytes, stretch, bytes);
            }
        });
    });
}

}  // namespace

const orr_operator* orr_op_roll() {
    static const Operator op = Operator("orr.roll/1", "x moved round along axes: y[(i + shift) mod n] = x[i]; torch.roll")
                                   .input("x", kPlainTypes, "any shape")
                                   .output("y", "the shape of x", kPlainTypes)
                                   .attr("shifts", ORR_ATTR_INTS, nullptr, "positions to move by, one an axis named; any sign")
                                   .attr("axes", ORR_ATTR_INTS, nullptr, "axes that move; negative ones count from the end", "[-8, 7]")
                                   .infer(infer)
                                   .kernel(kRollVulkan)
                                   .kernel({"cpu", "cpu", 0, nullptr, nullptr, run_cpu})
                                   .kernel({"reference", "cpu", ORR_KERNEL_REFERENCE, nullptr, nullptr, run_reference});
    return op.table();
}
