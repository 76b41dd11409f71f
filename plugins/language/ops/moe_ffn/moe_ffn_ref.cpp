// The definition: f64 sums over dequantised weights, token by token.
#include <algorithm>

#include "linear/reference.hpp"
#include "ops/moe_ffn/moe_ffn.hpp"

namespace orrery::language {
namespace {

bool supports(const orr_prepare* p, char* reason, size_t size) {
    for (const uint32_t i : {kMoeX, kMoeWeights, kMoeGate, kMoeUp, kMoeDown}) {
        if (!linear::readable(*p->inputs[i], reason, size)) return false;
    }
    return true;
}

int64_t longest_row(const orr_tensor& gate) { return std::max(gate.shape[1], gate.shape[2]); }

orr_status prepare(orr_prepare* p) {
    return guard(p->host, [&] {
        // gate, up and the sum in f64; rows of x, h and of a weight
        p->workspace(p, static_cast<uint64_t>(longest_row(*p->inputs[kMoeGate])) * 4 * sizeof(double) +
                            static_cast<uint64_t>(longest_row(*p->inputs[kMoeGate])) * 3 * sizeof(float));
        p->variant(p, "reference");
    });
}

orr_status run(const orr_run* run) {
    return guard(run->host, [&] {
        const flt::Activation activation = moe_activation(run->attrs);
        const orr_tensor& ids = *run->inputs[kMoeIds];
        const orr_tensor& weights = *run->inputs[kMoeWeights];
        const orr_tensor& gate = *run->inputs[kMoeGate];
        const orr_tensor& y = *run->outputs[0];
        const int64_t longest = longest_row(gate), features = gate.shape[1], width = gate.shape[2], k = ids.shape[ids.rank - 1];
        double* g = static_cast<double*>(run->workspace);
        double *u = g + longest, *d = u + longest, *sum = d + longest;
        float* x = reinterpret_cast<float*>(sum + longest);
        float *h = x + longest, *scratch = h + longest;
        for (int64_t t = 0; t < linear::row_count(y); ++t) {
            linear::read_row(*run->inputs[kMoeX], t, x);
            std::fill_n(sum, width, 0.0);
            for (int64_t j = 0; j < k; ++j) {
                const int64_t expert = *reinterpret_cast<const int32_t*>(linear::row_at(ids, t) + j * ids.stride_bytes[ids.rank - 1]);
                const float weight = *reinterpret_cast<const float*>(linear::row_at(weights, t) + j * weights.stride_bytes[weights.rank - 1]);
                check_expert(expert, t * k + j, gate.shape[0]);
                std::fill_n(g, features, 0.0);
                std::fill_n(u, features, 0.0);
                std::fill_n(d, width, 0.0);
                linear::multiply_row(gate, expert, false, x, g, scratch);
                linear::multiply_row(*run->inputs[kMoeUp], expert, false, x, u, scratch);
                for (int64_t f = 0; f < features; ++f) h[f] = static_cast<float>(linear::activate(activation, g[f]) * u[f]);
                linear::multiply_row(*run->inputs[kMoeDown], expert, false, h, d, scratch);
                for (int64_t e = 0; e < width; ++e) sum[e] += static_cast<double>(weight) * d[e];
            }
            float* dst = reinterpret_cast<float*>(const_cast<uint8_t*>(linear::row_at(y, t)));
            for (int64_t e = 0; e < width; ++e) dst[e] = static_cast<float>(sum[e]);
        }
    });
}

}  // namespace

const KernelDef kMoeReference = {"reference", "cpu", ORR_KERNEL_REFERENCE, supports, prepare, run};

}  // namespace orrery::language
