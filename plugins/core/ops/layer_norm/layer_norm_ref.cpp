// The definition, in f64.
// y[r, i] = (x[r, i] - mean_i(x[r])) / sqrt(var_i(x[r]) + eps) * w[i] + b[i], biased variance
// x, y: [.., E] f32    w, b: [E] f32 | f16 | bf16, 1 and 0 where absent
// Ba et al. 2016, arXiv:1607.06450
#include <cmath>

#include "ops/layer_norm/layer_norm.hpp"

namespace orrery::core {
namespace {

orr_status run(const orr_run* run) {
    const double eps = run->attrs->get_float(run->attrs, "eps");
    const orr_tensor *w = flt::input(run, 1), *b = flt::input(run, 2);
    return run_rows_reference(run, [&](const auto& x, const auto& y, int64_t n) {
        double mean = 0, variance = 0;
        for (int64_t i = 0; i < n; ++i) mean += x(i);
        mean /= static_cast<double>(n);
        for (int64_t i = 0; i < n; ++i) variance += (x(i) - mean) * (x(i) - mean);
        const double r = 1.0 / std::sqrt(variance / static_cast<double>(n) + eps);
        for (int64_t i = 0; i < n; ++i) y(i, (x(i) - mean) * r * (w ? flt::number(*w, i) : 1.0) + (b ? flt::number(*b, i) : 0.0));
    });
}

}  // namespace

const KernelDef kLayerNormReference = {"reference", "cpu", ORR_KERNEL_REFERENCE, nullptr, nullptr, run};

}  // namespace orrery::core
