// Joins equal tensors along a new axis; torch.stack.
#include "common/join.hpp"
#include "common/shapes.hpp"

using namespace orrery;
using namespace orrery::core;

namespace {

orr_status infer(const orr_infer* raw) {
    return guard(raw->host, [&] {
        const Infer i(raw);
        std::vector<orr_dim> dims;
        const orr_value_info* first = nullptr;
        int64_t count = 0;
        for (uint32_t n = 0; n < raw->n_inputs; n++) {
            if (!i.has(n)) continue;
            const orr_value_info& x = i.in(n);
            const std::string who = std::string("x").append(std::to_string(n));
            if (count++ == 0) {
                first = &x;
                dims = Infer::dims(x);
                continue;
            }
            same_type(*first, x, "stack", "x", who.c_str());
            if (x.rank != first->rank)
                throw Error(ORR_INVALID_ARGUMENT, "stack: x has rank " + std::to_string(first->rank) + ", " + who + " has " + std::to_string(x.rank));
            for (int32_t k = 0; k < x.rank; k++) {
                i.same(dims[k], x.dims[k], "stack: axis " + std::to_string(k) + " of x and " + who);
                if (dims[k] < 0 && x.dims[k] >= 0) dims[k] = x.dims[k];
            }
        }
        if (!first) throw Error(ORR_INVALID_ARGUMENT, "stack: no input is present");
        dims.insert(dims.begin() + normal_axis(i.attr_int("axis"), first->rank + 1, "stack"), count);
        i.out(0, first->type, dims);
    });
}

template <bool Parallel>
orr_status run(const orr_run* r) {
    return guard(r->host, [&] { join(r, normal_axis(r->attrs->get_int(r->attrs, "axis"), r->outputs[0]->rank, "stack"), true, Parallel); });
}

orr_status run_vulkan(const orr_run* r) {
    return guard(r->host, [&] { return record_join(r, normal_axis(r->attrs->get_int(r->attrs, "axis"), r->outputs[0]->rank, "stack"), true); });
}

}  // namespace

const orr_operator* orr_op_stack() {
    static const Operator op = Operator("orr.stack/1", "the inputs along a new axis; torch.stack")
                                   .input("x", kPlainTypes, "one or more tensors of one type and shape; absent ones are passed over", ORR_PORT_VARIADIC)
                                   .output("y", "the shape of x with the number of inputs inserted at `axis`", kPlainTypes)
                                   .attr("axis", ORR_ATTR_INT, nullptr, "place of the new axis in y; negative ones count from the end of y", "[-8, 7]")
                                   .infer(infer)
                                   .kernel({"vulkan", "vulkan", 0, supports_join_vulkan, nullptr, run_vulkan})
                                   .kernel({"cpu", "cpu", 0, nullptr, nullptr, run<true>})
                                   .kernel({"reference", "cpu", ORR_KERNEL_REFERENCE, nullptr, nullptr, run<false>});
    return op.table();
}
