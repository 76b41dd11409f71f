// The definition, in f64 within a token; the state is f32 between tokens, as upstream keeps it.
#include <vector>

#include "ops/selective_scan/selective_scan.hpp"

namespace orrery::ssm {
namespace {

orr_status run(const orr_run* run) {
    return guard(run->host, [&] {
        const orr_tensor &u = *run->inputs[kScanU], &a = *run->inputs[kScanA], &y = *run->outputs[0];
        const orr_tensor *d = run->inputs[kScanD], *z = run->inputs[kScanZ], *bias = run->inputs[kScanDeltaBias];
        const bool softplus = run->attrs->get_int(run->attrs, "delta_softplus") != 0;
        const int64_t states = a.shape[1];
        for (int64_t s = 0; s < u.shape[0]; ++s) {
            const float* before = state_row(*run->inputs[kScanState], s);
            float* h = state_row(*run->outputs[1], s);
            std::memmove(h, before, static_cast<size_t>(u.shape[2] * states) * sizeof(float));
            for (int64_t t = 0; t < u.shape[1]; ++t)
                for (int64_t c = 0; c < u.shape[2]; ++c) {
                    double step = flt::number(*run->inputs[kScanDelta], {s, t, c}) + (bias ? flt::number(*bias, c) : 0.0);
                    if (softplus && step <= 20.0) step = std::log1p(std::exp(step));  // torch's softplus is the identity above 20
                    const double input = flt::number(u, {s, t, c});
                    double sum = 0;
                    for (int64_t n = 0; n < states; ++n) {
                        float& cell = h[c * states + n];
                        cell = static_cast<float>(std::exp(step * flt::number(a, {c, n})) * cell + step * flt::number(*run->inputs[kScanB], {s, t, n}) * input);
                        sum += static_cast<double>(cell) * flt::number(*run->inputs[kScanC], {s, t, n});
                    }
                    if (d) sum += flt::number(*d, c) * input;
                    if (z) sum *= flt::activate(flt::Activation::silu, flt::number(*z, {s, t, c}));
                    const auto value = static_cast<float>(sum);
                    std::memcpy(data<char>(&y) + s * y.stride_bytes[0] + t * y.stride_bytes[1] + c * y.stride_bytes[2], &value, 4);
                }
        }
    });
}

}  // namespace

const KernelDef kSelectiveScanReference = {"reference", "cpu", ORR_KERNEL_REFERENCE, nullptr, nullptr, run};

}  // namespace orrery::ssm
