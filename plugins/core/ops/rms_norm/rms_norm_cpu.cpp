// y[r, i] = x[r, i] / sqrt(mean_i(x[r, i]^2) + eps) * (w[i] + weight_offset)
// x, y: [.., E] f32    w: [E] f32 | f16 | bf16, 1 where absent
// Zhang & Sennrich 2019, arXiv:1910.07467
// Sums in f32, four vectors wide; their order depends on E and the instruction set alone.
#include "ops/rms_norm/rms_norm.hpp"

namespace orrery::core {
namespace {

orr_status run(const orr_run* run) {
    const auto eps = static_cast<float>(run->attrs->get_float(run->attrs, "eps")), offset = static_cast<float>(run->attrs->get_float(run->attrs, "weight_offset"));
    return run_rows(run, [=](const flt::VectorKernels& k, const float* x, float* y, int64_t n, const float* w, const float*) { k.rms_norm(x, w, offset, eps, y, n); });
}

}  // namespace

const KernelDef kRmsNormCpu = {"cpu", "cpu", 0, supports_rows, prepare_rows, run};

}  // namespace orrery::core
