// The definition: f64 sums over dequantised weights, pair by pair.
#include <algorithm>

#include "linear/reference.hpp"
#include "ops/moe_linear/moe_linear.hpp"

namespace orrery::language {
namespace {

bool supports(const orr_prepare* p, char* reason, size_t size) {
    return linear::readable(*p->inputs[kMoeLinearX], reason, size) && linear::readable(*p->inputs[kMoeLinearWeight], reason, size);
}

orr_status prepare(orr_prepare* p) {
    return guard(p->host, [&] {
        const orr_tensor& w = *p->inputs[kMoeLinearWeight];
        const auto rows = static_cast<uint64_t>(w.shape[1]), columns = static_cast<uint64_t>(w.shape[2]);
        p->workspace(p, rows * sizeof(double) + (columns + std::max(rows, columns)) * sizeof(float));
        p->variant(p, "reference");
    });
}

orr_status run(const orr_run* run) {
    return guard(run->host, [&] {
        const orr_tensor &x = *run->inputs[kMoeLinearX], &ids = *run->inputs[kMoeLinearIds], &w = *run->inputs[kMoeLinearWeight],
                         &y = *run->outputs[0];
        const int64_t k = ids.shape[ids.rank - 1], rows = w.shape[1], shared = x.rank == ids.rank ? k : 1;
        double* sums = static_cast<double*>(run->workspace);
        float *row = reinterpret_cast<float*>(sums + rows), *scratch = row + w.shape[2];
        for (int64_t pair = 0; pair < linear::row_count(y); ++pair) {
            const int64_t expert = *reinterpret_cast<const int32_t*>(linear::row_at(ids, pair / k) + pair % k * ids.stride_bytes[ids.rank - 1]);
            check_linear_expert(expert, pair, w.shape[0]);
            linear::read_row(x, pair / shared, row);
            std::fill_n(sums, rows, 0.0);
            linear::multiply_row(w, expert, false, row, sums, scratch);
            float* dst = reinterpret_cast<float*>(const_cast<uint8_t*>(linear::row_at(y, pair)));
            for (int64_t n = 0; n < rows; ++n) dst[n] = static_cast<float>(sums[n]);
        }
    });
}

}  // namespace

const KernelDef kMoeLinearReference = {"reference", "cpu", ORR_KERNEL_REFERENCE, supports, prepare, run};

}  // namespace orrery::language
