// The definition: f64 sums over dequantised weights.
#include <algorithm>
#include <cmath>

#include "linear/reference.hpp"
#include "ops/linear_group/linear_group.hpp"

namespace orrery::core {
namespace {

bool supports(const orr_prepare* p, char* reason, size_t size) {
    for (uint32_t i = 0; i < p->n_inputs; ++i) {
        if (p->inputs[i] && !linear::readable(*p->inputs[i], reason, size)) return false;
    }
    return true;
}

int64_t longest_row(uint32_t n_inputs, const orr_tensor* const* inputs) {
    int64_t longest = inputs[0]->shape[inputs[0]->rank - 1];
    for (uint32_t part = 0; part < group_parts(n_inputs); ++part) longest = std::max(longest, inputs[group_weight(part)]->shape[0]);
    return longest;
}

orr_status prepare(orr_prepare* p) {
    return guard(p->host, [&] {
        // rows of x and w, and two rows of sums in f64
        p->workspace(p, static_cast<uint64_t>(longest_row(p->n_inputs, p->inputs)) * (2 * sizeof(float) + 2 * sizeof(double)));
        p->variant(p, "reference");
    });
}

// sums[n] = (x w^T + b)[n] for row t of x
void part_row(const orr_run* run, uint32_t part, const float* x, double* sums, float* scratch) {
    const orr_tensor& w = *run->inputs[group_weight(part)];
    std::fill_n(sums, w.shape[0], 0.0);
    linear::multiply_row(w, 0, false, x, sums, scratch);
    const orr_tensor* bias = group_bias(run, part);
    if (!bias) return;
    linear::read_row(*bias, 0, scratch);
    for (int64_t n = 0; n < w.shape[0]; ++n) sums[n] += static_cast<double>(scratch[n]);
}

void normalise(const GroupNorm& norm, float* x, int64_t n, float* scratch) {
    double square = 0;
    for (int64_t i = 0; i < n; ++i) square += static_cast<double>(x[i]) * static_cast<double>(x[i]);
    const double r = 1 / std::sqrt(square / static_cast<double>(n) + static_cast<double>(norm.eps));
    if (norm.weight) linear::read_row(*norm.weight, 0, scratch);
    for (int64_t i = 0; i < n; ++i) x[i] = static_cast<float>(static_cast<double>(x[i]) * r * (norm.weight ? static_cast<double>(scratch[i]) + static_cast<double>(norm.offset) : 1));
}

orr_status run(const orr_run* run) {
    return guard(run->host, [&] {
        const flt::Activation glu = group_glu(run->attrs);
        const GroupNorm norm(run);
        const int64_t longest = longest_row(run->n_inputs, run->inputs);
        double* sums = static_cast<double*>(run->workspace);
        double* up = sums + longest;
        float* x_row = reinterpret_cast<float*>(up + longest);
        float* scratch = x_row + longest;
        for (int64_t t = 0; t < linear::row_count(*run->inputs[0]); ++t) {
            linear::read_row(*run->inputs[0], t, x_row);
            if (norm.there) normalise(norm, x_row, run->inputs[0]->shape[run->inputs[0]->rank - 1], scratch);
            for (uint32_t part = 0; part < run->n_outputs; ++part) {
                const orr_tensor& y = *run->outputs[part];
                part_row(run, part, x_row, sums, scratch);
                float* dst = reinterpret_cast<float*>(const_cast<uint8_t*>(linear::row_at(y, t)));
                if (glu != flt::Activation::none) part_row(run, 1, x_row, up, scratch);
                for (int64_t n = 0; n < y.shape[y.rank - 1]; ++n) {
                    dst[n] = static_cast<float>(glu == flt::Activation::none ? sums[n] : linear::activate(glu, sums[n]) * up[n]);
                }
            }
        }
    });
}

}  // namespace

const KernelDef kLinearGroupReference = {"reference", "cpu", ORR_KERNEL_REFERENCE, supports, prepare, run};

}  // namespace orrery::core
