// y[r, i] = (x[r, i] - mean_i(x[r])) / sqrt(var_i(x[r]) + eps) * w[i] + b[i], biased variance
// x, y: [.., E] f32    w, b: [E] f32 | f16 | bf16, 1 and 0 where absent
// Ba et al. 2016, arXiv:1607.06450
// Sums in f32, four vectors wide; their order depends on E and the instruction set alone.
#include "ops/layer_norm/layer_norm.hpp"

namespace orrery::core {
namespace {

orr_status run(const orr_run* run) {
    const auto eps = static_cast<float>(run->attrs->get_float(run->attrs, "eps"));
    return run_rows(run, [=](const flt::VectorKernels& k, const float* x, float* y, int64_t n, const float* w, const float* b) { k.layer_norm(x, w, b, eps, y, n); });
}

}  // namespace

const KernelDef kLayerNormCpu = {"cpu", "cpu", 0, supports_rows, prepare_rows, run};

}  // namespace orrery::core
