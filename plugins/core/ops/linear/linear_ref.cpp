// The definition: f64 sums over dequantised weights.
#include <algorithm>

#include "linear/reference.hpp"
#include "ops/linear/linear.hpp"

namespace orrery::core {
namespace {

bool supports(const orr_prepare* p, char* reason, size_t size) {
    for (uint32_t i = 0; i < p->n_inputs; ++i) {
        if (p->inputs[i] && !linear::readable(*p->inputs[i], reason, size)) return false;
    }
    return true;
}

int64_t longest_row(const orr_tensor& x, const orr_tensor& y) { return std::max(x.shape[x.rank - 1], y.shape[y.rank - 1]); }

orr_status prepare(orr_prepare* p) {
    return guard(p->host, [&] {
        // rows of x and their sums in f64; one row of w and of x, bias or residual
        p->workspace(p, static_cast<uint64_t>(longest_row(*p->inputs[kLinearX], *p->outputs[0])) * (2 * sizeof(float) + 2 * linear::kRowsAtOnce * sizeof(double)));
        p->variant(p, "reference");
    });
}

orr_status run(const orr_run* run) {
    return guard(run->host, [&] {
        const LinearAttrs attrs(run->attrs);
        const orr_tensor& x = *run->inputs[kLinearX];
        const orr_tensor& y = *run->outputs[0];
        const orr_tensor* bias = linear_input(run, kLinearBias);
        const orr_tensor* residual = linear_input(run, kLinearResidual);
        const int64_t longest = longest_row(x, y), rows = y.shape[y.rank - 1];
        auto* sums = static_cast<double*>(run->workspace);
        double* const xs = sums + linear::kRowsAtOnce * longest;
        auto* const w_row = reinterpret_cast<float*>(xs + linear::kRowsAtOnce * longest);
        float* const other = w_row + longest;
        const int64_t all = linear::row_count(y);
        for (int64_t first = 0; first < all; first += linear::kRowsAtOnce) {
            const int64_t count = std::min(linear::kRowsAtOnce, all - first);
            std::fill_n(sums, 2 * linear::kRowsAtOnce * longest, 0.0);
            for (int64_t r = 0; r < count; ++r) {
                linear::read_row(x, first + r, other);
                linear::put_row(other, x.shape[x.rank - 1], r, xs);
            }
            linear::multiply_rows(*run->inputs[kLinearWeight], 0, attrs.transposed, count, xs, sums, longest, w_row);
            for (int64_t r = 0; r < count; ++r) {
                double* const sum = sums + r * longest;
                if (bias) linear::read_row(*bias, 0, other);
                for (int64_t n = 0; n < rows; ++n) {
                    sum[n] = linear::activate(attrs.activation, sum[n] * attrs.scale + (bias ? static_cast<double>(other[n]) : 0.0));
                }
                if (residual) linear::read_row(*residual, first + r, other);
                float* dst = reinterpret_cast<float*>(const_cast<uint8_t*>(linear::row_at(y, first + r)));
                for (int64_t n = 0; n < rows; ++n) dst[n] = static_cast<float>(sum[n] + (residual ? static_cast<double>(other[n]) : 0.0));
            }
        }
    });
}

}  // namespace

const KernelDef kLinearReference = {"reference", "cpu", ORR_KERNEL_REFERENCE, supports, prepare, run};

}  // namespace orrery::core
