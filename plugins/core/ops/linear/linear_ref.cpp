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
        // one row of x, of w and of bias or residual, and the sums in f64
        p->workspace(p, static_cast<uint64_t>(longest_row(*p->inputs[kLinearX], *p->outputs[0])) * (3 * sizeof(float) + sizeof(double)));
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
        double* sums = static_cast<double*>(run->workspace);
        float* x_row = reinterpret_cast<float*>(sums + longest);
        float* w_row = x_row + longest;
        float* other = w_row + longest;
        for (int64_t t = 0; t < linear::row_count(y); ++t) {
            linear::read_row(x, t, x_row);
            std::fill_n(sums, rows, 0.0);
            linear::multiply_row(*run->inputs[kLinearWeight], 0, attrs.transposed, x_row, sums, w_row);
            if (bias) linear::read_row(*bias, 0, other);
            for (int64_t n = 0; n < rows; ++n) {
                sums[n] = linear::activate(attrs.activation, sums[n] * attrs.scale + (bias ? static_cast<double>(other[n]) : 0.0));
            }
            if (residual) linear::read_row(*residual, t, other);
            float* dst = reinterpret_cast<float*>(const_cast<uint8_t*>(linear::row_at(y, t)));
            for (int64_t n = 0; n < rows; ++n) dst[n] = static_cast<float>(sums[n] + (residual ? static_cast<double>(other[n]) : 0.0));
        }
    });
}

}  // namespace

const KernelDef kLinearReference = {"reference", "cpu", ORR_KERNEL_REFERENCE, supports, prepare, run};

}  // namespace orrery::core
