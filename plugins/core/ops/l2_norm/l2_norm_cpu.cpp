// y[r, i] = x[r, i] / max(||x[r]||, eps), as torch.nn.functional.normalize has it
// x, y: [.., E] f32
// Sums in f32, four vectors wide; their order depends on E and the instruction set alone.
#include <cmath>

#include "ops/l2_norm/l2_norm.hpp"

namespace orrery::core {
namespace {

orr_status run(const orr_run* run) {
    const auto eps = static_cast<float>(run->attrs->get_float(run->attrs, "eps"));
    return run_rows(run, [=](const flt::VectorKernels& k, const float* x, float* y, int64_t n, const float*, const float*) {
        const float length = std::sqrt(k.sum_squares(x, n)), by = length < eps ? eps : length;
        k.binary(flt::Binary::div, x, 1, &by, 0, y, n);
    });
}

}  // namespace

const KernelDef kL2NormCpu = {"cpu", "cpu", 0, supports_rows, prepare_rows, run};

}  // namespace orrery::core
