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
        // rows of x and two sets of their sums in f64; a row of x and of w
        p->workspace(p, static_cast<uint64_t>(longest_row(p->n_inputs, p->inputs)) * (2 * sizeof(float) + 3 * linear::kRowsAtOnce * sizeof(double)));
        p->variant(p, "reference");
    });
}

// sums[r][n] = (x w^T + b)[r][n] for `count` rows of x, sums `longest` apart
void part_rows(const orr_run* run, uint32_t part, int64_t count, const double* xs, double* sums, int64_t longest, float* scratch) {
    const orr_tensor& w = *run->inputs[group_weight(part)];
    std::fill_n(sums, linear::kRowsAtOnce * longest, 0.0);
    linear::multiply_rows(w, 0, false, count, xs, sums, longest, scratch);
    const orr_tensor* bias = group_bias(run, part);
    if (!bias) return;
    linear::read_row(*bias, 0, scratch);
    for (int64_t r = 0; r < count; ++r)
        for (int64_t n = 0; n < w.shape[0]; ++n) sums[r * longest + n] += static_cast<double>(scratch[n]);
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
        const orr_tensor& x = *run->inputs[0];
        const int64_t columns = x.shape[x.rank - 1], all = linear::row_count(x);
        auto* const sums = static_cast<double*>(run->workspace);
        double* const up = sums + linear::kRowsAtOnce * longest;
        double* const xs = up + linear::kRowsAtOnce * longest;
        auto* const x_row = reinterpret_cast<float*>(xs + linear::kRowsAtOnce * longest);
        float* const scratch = x_row + longest;
        for (int64_t first = 0; first < all; first += linear::kRowsAtOnce) {
            const int64_t count = std::min(linear::kRowsAtOnce, all - first);
            std::fill_n(xs, linear::kRowsAtOnce * columns, 0.0);
            for (int64_t r = 0; r < count; ++r) {
                linear::read_row(x, first + r, x_row);
                if (norm.there) normalise(norm, x_row, columns, scratch);
                linear::put_row(x_row, columns, r, xs);
            }
            for (uint32_t part = 0; part < run->n_outputs; ++part) {
                const orr_tensor& y = *run->outputs[part];
                part_rows(run, part, count, xs, sums, longest, scratch);
                if (glu != flt::Activation::none) part_rows(run, 1, count, xs, up, longest, scratch);
                for (int64_t r = 0; r < count; ++r) {
                    float* dst = reinterpret_cast<float*>(const_cast<uint8_t*>(linear::row_at(y, first + r)));
                    for (int64_t n = 0; n < y.shape[y.rank - 1]; ++n) {
                        const double sum = sums[r * longest + n];
                        dst[n] = static_cast<float>(glu == flt::Activation::none ? sum : linear::activate(glu, sum) * up[r * longest + n]);
                    }
                }
            }
        }
    });
}

}  // namespace

const KernelDef kLinearGroupReference = {"reference", "cpu", ORR_KERNEL_REFERENCE, supports, prepare, run};

}  // namespace orrery::core
