// The definition, in f64.
// y[r, i] = x[r, i] / max(||x[r]||, eps), as torch.nn.functional.normalize has it
// x, y: [.., E] f32
#include <cmath>

#include "ops/l2_norm/l2_norm.hpp"

namespace orrery::core {
namespace {

orr_status run(const orr_run* run) {
    const double eps = run->attrs->get_float(run->attrs, "eps");
    return run_rows_reference(run, [&](const auto& x, const auto& y, int64_t n) {
        double square = 0;
        for (int64_t i = 0; i < n; ++i) square += x(i) * x(i);
        const double length = std::sqrt(square), by = length < eps ? eps : length;
        for (int64_t i = 0; i < n; ++i) y(i, x(i) / by);
    });
}

}  // namespace

const KernelDef kL2NormReference = {"reference", "cpu", ORR_KERNEL_REFERENCE, nullptr, nullptr, run};

}  // namespace orrery::core
