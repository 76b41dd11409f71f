// Joins tensors along an axis that they all have; torch.cat.
#include "common/join.hpp"
#include "common/shapes.hpp"

using namespace orrery;
using namespace orrery::core;

namespace {

uint32_t first_present(const orr_infer* i) {
    for (uint32_t n = 0; n < i->n_inputs; n++)
        if (i->inputs[n]) return n;
    throw Error(ORR_INVALID_ARGUMENT, "concat: no input is present");
}

orr_status infer(const orr_infer* raw) {
    return guard(raw->host, [&] {
        const Infer i(raw);
        const uint32_t first = first_present(raw);
        const orr_value_info& x = i.in(first);
        const int32_t axis = normal_axis(i.attr_int("axis"), x.rank, "concat");
        std::vector<orr_dim> dims = Infer::dims(x);
        for (uint32_t n = first + 1; n < raw->n_inputs; n++) {
            if (!i.has(n)) continue;
            const orr_value_info& other = i.in(n);
            const std::string who = std::string("x").append(std::to_string(n));
            same_type(x, other, "concat", "x", who.c_str());
            if (other.rank != x.rank)
                throw Error(ORR_INVALID_ARGUMENT, "concat: x has rank " + std::to_string(x.rank) + ", " + who + " has " + std::to_string(other.rank));
            for (int32_t k = 0; k < x.rank; k++) {
                if (k == axis) continue;
                i.same(dims[k], other.dims[k], "concat: axis " + std::to_string(k) + " of x and " + who);
                if (dims[k] < 0 && other.dims[k] >= 0) dims[k] = other.dims[k];
            }
            dims[axis] = i.add(dims[axis], other.dims[axis]);
        }
        i.out(0, x.type, dims);
    });
}

template <bool Parallel>
orr_status run(const orr_run* r) {
    return guard(r->host, [&] { join(r, normal_axis(r->attrs->get_int(r->attrs, "axis"), r->outputs[0]->rank, "concat"), false, Parallel); });
}

orr_status run_vulkan(const orr_run* r) {
    return guard(r->host, [&] { return record_join(r, normal_axis(r->attrs->get_int(r->attrs, "axis"), r->outputs[0]->rank, "concat"), false); });
}

}  // namespace

const orr_operator* orr_op_concat() {
    static const Operator op = Operator("orr.concat/1", "the inputs one behind the other along an axis; torch.cat")
                                   .input("x", kPlainTypes, "one or more tensors of one type, equal but for `axis`; absent ones are passed over", ORR_PORT_VARIADIC)
                                   .output("y", "shape[axis] is the sum", kPlainTypes)
                                   .attr("axis", ORR_ATTR_INT, nullptr, "axis to join; negative ones count from the end", "[-8, 7]")
                                   .infer(infer)
                                   .kernel({"vulkan", "vulkan", 0, supports_join_vulkan, nullptr, run_vulkan})
                                   .kernel({"cpu", "cpu", 0, nullptr, nullptr, run<true>})
                                   .kernel({"reference", "cpu", ORR_KERNEL_REFERENCE, nullptr, nullptr, run<false>});
    return op.table();
}
