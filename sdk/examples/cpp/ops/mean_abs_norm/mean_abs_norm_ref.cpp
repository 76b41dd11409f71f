// The definition: plain loops in f64, tensors of any strides.
// y[r, i] = x[r, i] / (mean_i(|x[r, i]|) + eps)
#include <cmath>

#include "ops/mean_abs_norm/mean_abs_norm.hpp"

namespace example {
namespace {

orr_status run(const orr_run* run) {
    return orrery::guard(run->host, [&] {
        const orr_tensor &x = *run->inputs[0], &y = *run->outputs[0];
        const double eps = run->attrs->get_float(run->attrs, "eps");
        const int64_t n = x.shape[x.rank - 1], x_step = x.stride_bytes[x.rank - 1], y_step = y.stride_bytes[y.rank - 1];
        for (int64_t r = 0; r < orrery::row_count(x); r++) {
            const char* from = static_cast<const char*>(x.data) + row_offset_bytes(x, r);
            char* to = static_cast<char*>(y.data) + row_offset_bytes(y, r);
            const auto element = [&](int64_t i) { return static_cast<double>(*reinterpret_cast<const float*>(from + i * x_step)); };
            double sum = 0;
            for (int64_t i = 0; i < n; i++) sum += std::abs(element(i));
            const double by = sum / static_cast<double>(n) + eps;
            for (int64_t i = 0; i < n; i++) *reinterpret_cast<float*>(to + i * y_step) = static_cast<float>(element(i) / by);
        }
    });
}

}  // namespace

const orrery::KernelDef kMeanAbsNormReference = {"reference", "cpu", ORR_KERNEL_REFERENCE, nullptr, nullptr, run};

}  // namespace example
