// y[r, i] = w[i] * softsign(scale * x[r, i]), softsign(v) = v / (1 + |v|)
// x: [.., E] f32    w: [E] f32    y: as x
#include "ops/@name@/@name@.hpp"

namespace orrery::@name@_kernels {
namespace {

// Works on symbolic dimensions as on bound ones: what can be told now is checked now, the rest when shapes are bound.
void infer_shapes(const Infer& i) {
    const orr_value_info& x = i.in(kX);
    if (x.rank < 1) throw Error(ORR_INVALID_ARGUMENT, "@prefix@.@name@/1: x has rank 0, wanted 1 or more");
    i.rank(kW, 1, "@prefix@.@name@/1: w");
    i.same(i.in(kW).dims[0], x.dims[x.rank - 1], "@prefix@.@name@/1: elements of w against rows of x");
    i.out(0, ORR_TYPE_F32, Infer::dims(x));
}

uint64_t flops(const orr_prepare* p) { return 5 * static_cast<uint64_t>(elements(*p->inputs[kX])); }

}  // namespace
}  // namespace orrery::@name@_kernels

const orr_operator* orr_op_@name@() {
    using namespace orrery;
    static const Operator op = Operator("@prefix@.@name@/1", "y = w * softsign(scale * x); torch.nn.functional.softsign")
                                   .input("x", "f32", "[.., E]")
                                   .input("w", "f32", "[E]", ORR_PORT_WEIGHT)
                                   .output("y", "[.., E], as x")
                                   .attr("scale", ORR_ATTR_FLOAT, "1", "factor of x before the function")
                                   .infer(infer_guard<@name@_kernels::infer_shapes>)
                                   .flops(@name@_kernels::flops)
                                   .kernel(@name@_kernels::kVulkan)
                                   .kernel(@name@_kernels::kCpu)
                                   .kernel(@name@_kernels::kReference);
    return op.table();
}
