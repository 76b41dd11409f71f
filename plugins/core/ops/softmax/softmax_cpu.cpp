// y = e^(x - max x) / sum e^(x - max x) along one axis, as torch.softmax has it; a line of -inf throughout gives NaN there, zeros here
// x, y: [..] f32
// Sums in f32, four vectors wide; their order depends on E and the instruction set alone.
#include "ops/softmax/softmax.hpp"

namespace orrery::core {
namespace {

bool supports(const orr_prepare* p, char* reason, size_t size) {
    const int64_t axis = p->attrs->get_int(p->attrs, "axis");
    if (axis != -1 && axis != p->inputs[0]->rank - 1) return refuse(reason, size, "axis " + std::to_string(axis) + " is not the last");
    return supports_rows(p, reason, size);
}

orr_status run(const orr_run* run) {
    return run_rows(run, [](const flt::VectorKernels& k, const float* x, float* y, int64_t n, const float*, const float*) { k.softmax(x, y, n); });
}

}  // namespace

const KernelDef kSoftmaxCpu = {"cpu", "cpu", 0, supports, prepare_rows, run};

}  // namespace orrery::core
