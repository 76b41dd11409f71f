// The definition, sums in f64.
#include <vector>

#include "ops/causal_conv1d/causal_conv1d.hpp"

namespace orrery::ssm {
namespace {

orr_status run(const orr_run* run) {
    return guard(run->host, [&] {
        const orr_tensor &x = *run->inputs[kConvX], &w = *run->inputs[kConvWeight], &y = *run->outputs[0];
        const orr_tensor* bias = flt::input(run, kConvBias);
        const bool silu = wants_silu(run->attrs->get_string(run->attrs, "activation"));
        const int64_t tokens = x.shape[1], taps = w.shape[w.rank - 1], past = taps - 1;
        std::vector<float> line(static_cast<size_t>(past + tokens));  // state, then inputs, of one channel: new_state may be state
        for (int64_t b = 0; b < x.shape[0]; ++b)
            for (int64_t c = 0; c < x.shape[2]; ++c) {
                const float* before = state_row(*run->inputs[kConvState], b) + c * past;
                for (int64_t i = 0; i < past; ++i) line[static_cast<size_t>(i)] = before[i];
                for (int64_t t = 0; t < tokens; ++t) line[static_cast<size_t>(past + t)] = static_cast<float>(flt::number(x, {b, t, c}));
                for (int64_t t = 0; t < tokens; ++t) {
                    double sum = bias ? flt::number(*bias, c) : 0.0;
                    for (int64_t j = 0; j < taps; ++j)
                        sum += flt::number_at(w.type, data<char>(&w) + c * w.stride_bytes[0] + j * w.stride_bytes[w.rank - 1]) * line[static_cast<size_t>(t + j)];
                    const auto value = static_cast<float>(silu ? flt::activate(flt::Activation::silu, sum) : sum);
                    std::memcpy(data<char>(&y) + b * y.stride_bytes[0] + t * y.stride_bytes[1] + c * y.stride_bytes[2], &value, 4);
                }
                float* after = state_row(*run->outputs[1], b) + c * past;
                for (int64_t i = 0; i < past; ++i) after[i] = line[static_cast<size_t>(tokens + i)];
            }
    });
}

}  // namespace

const KernelDef kCausalConv1dReference = {"reference", "cpu", ORR_KERNEL_REFERENCE, nullptr, nullptr, run};

}  // namespace orrery::ssm
