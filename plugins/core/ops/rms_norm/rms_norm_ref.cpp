// The definition, in f64.
// y[r, i] = x[r, i] / sqrt(mean_i(x[r, i]^2) + eps) * (w[i] + weight_offset)
// x, y: [.., E] f32    w: [E] f32 | f16 | bf16, 1 where absent
// Zhang & Sennrich 2019, arXiv:1910.07467
#include <cmath>

#include "ops/rms_norm/rms_norm.hpp"

namespace orrery::core {
namespace {

orr_status run(const orr_run* run) {
    const double eps = run->attrs->get_float(run->attrs, "eps"), offset = run->attrs->get_float(run->attrs, "weight_offset");
    const orr_tensor* w = flt::input(run, 1);
    return run_rows_reference(run, [&](const auto& x, const auto& y, int64_t n) {
        double square = 0;
        for (int64_t i = 0; i < n; ++i) square += x(i) * x(i);
        const double r = 1.0 / std::sqrt(square / static_cast<double>(n) + eps);
        for (int64_t i = 0; i < n; ++i) y(i, x(i) * r * (w ? flt::number(*w, i) + offset : 1.0));
    });
}

}  // namespace

const KernelDef kRmsNormReference = {"reference", "cpu", ORR_KERNEL_REFERENCE, nullptr, nullptr, run};

}  // namespace orrery::core
