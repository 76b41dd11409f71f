// y[i] = 3 * x[i]
#include "orrery/plugin.hpp"

using namespace orrery;

namespace {

void shape(const Infer& i) { i.out(0, ORR_TYPE_F32, Infer::dims(i.in(0))); }

orr_status run(const orr_run* run) {
    return guard(run->host, [&] {
        const float* x = data<float>(run->inputs[0]);
        float* y = data<float>(run->outputs[0]);
        const int64_t n = elements(*run->inputs[0]);
        for (int64_t i = 0; i < n; i++) y[i] = 3 * x[i];
    });
}

}  // namespace

const orr_operator* orr_op_triple() {
    static const Operator op = Operator("example.triple/1", "y = 3 x")
                                   .input("x", "f32", "any shape")
                                   .output("y", "as x")
                                   .infer(infer_guard<shape>)
                                   .kernel({"reference", "cpu", ORR_KERNEL_REFERENCE, nullptr, nullptr, run});
    return op.table();
}
