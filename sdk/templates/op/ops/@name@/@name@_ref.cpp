// The definition: plain loops in f64, tensors of any strides.
// y[r, i] = w[i] * softsign(scale * x[r, i]), softsign(v) = v / (1 + |v|)
#include <cmath>

#include "ops/@name@/@name@.hpp"

namespace orrery::@name@_kernels {
namespace {

orr_status run(const orr_run* run) {
    return guard(run->host, [&] {
        const orr_tensor &x = *run->inputs[kX], &w = *run->inputs[kW], &y = *run->outputs[0];
        const double scale = run->attrs->get_float(run->attrs, "scale");
        const int32_t last = x.rank - 1;
        const auto at = [](const orr_tensor& t, int64_t offset_bytes) { return reinterpret_cast<float*>(static_cast<char*>(t.data) + offset_bytes); };
        for (int64_t r = 0; r < row_count(x); r++) {
            const int64_t from = row_offset_bytes(x, r), to = row_offset_bytes(y, r);
            for (int64_t i = 0; i < x.shape[last]; i++) {
                const double v = scale * static_cast<double>(*at(x, from + i * x.stride_bytes[last]));
                const double factor = *at(w, i * w.stride_bytes[0]);
                *at(y, to + i * y.stride_bytes[last]) = static_cast<float>(factor * (v / (1 + std::abs(v))));
            }
        }
    });
}

}  // namespace

const KernelDef kReference = {"reference", "cpu", ORR_KERNEL_REFERENCE, nullptr, nullptr, run};

}  // namespace orrery::@name@_kernels
