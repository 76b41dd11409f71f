// y[r, i] = x[r, i] / (mean_i(|x[r, i]|) + eps), in f32
// x: [.., E], rows contiguous, at any distances    y: contiguous
#include <algorithm>
#include <cmath>

#include "ops/mean_abs_norm/mean_abs_norm.hpp"

namespace example {
namespace {

constexpr int64_t kElemsPerChunk = 16384;  // about what a thread must be given for handing it over to pay
constexpr int64_t kSums = 8;               // interleaved partial sums: one vector of them, in an order that E alone tells

bool supports(const orr_prepare* p, char* reason, size_t reason_size) {
    for (const orr_tensor* t : {p->inputs[0], p->outputs[0]}) {
        const int32_t last = t->rank - 1;
        if (t->shape[last] > 1 && t->stride_bytes[last] != static_cast<int64_t>(sizeof(float)))
            return orrery::refuse(reason, reason_size, orrery::describe(*t) + " has a strided last axis");
    }
    return true;
}

float sum_of_magnitudes(const float* x, int64_t n) {
    float sums[kSums] = {};
    int64_t i = 0;
    for (; i + kSums <= n; i += kSums)
        for (int64_t k = 0; k < kSums; k++) sums[k] += std::abs(x[i + k]);
    float sum = 0;
    for (; i < n; i++) sum += std::abs(x[i]);
    for (const float part : sums) sum += part;
    return sum;
}

orr_status run(const orr_run* run) {
    return orrery::guard(run->host, [&] {
        const orr_tensor &x = *run->inputs[0], &y = *run->outputs[0];
        const auto eps = static_cast<float>(run->attrs->get_float(run->attrs, "eps"));
        const int64_t n = x.shape[x.rank - 1], rows = orrery::row_count(x);
        if (n == 0 || rows == 0) return;
        const int64_t rows_per_chunk = std::max<int64_t>(1, kElemsPerChunk / n);
        orrery::parallel_for(run, (rows + rows_per_chunk - 1) / rows_per_chunk, [&](int64_t chunk, uint32_t) {
            const int64_t end = std::min(rows, (chunk + 1) * rows_per_chunk);
            for (int64_t r = chunk * rows_per_chunk; r < end; r++) {
                const auto* from = reinterpret_cast<const float*>(static_cast<const char*>(x.data) + row_offset_bytes(x, r));
                auto* to = reinterpret_cast<float*>(static_cast<char*>(y.data) + row_offset_bytes(y, r));
                const float by = sum_of_magnitudes(from, n) / static_cast<float>(n) + eps;
                for (int64_t i = 0; i < n; i++) to[i] = from[i] / by;
            }
        });
    });
}

}  // namespace

const orrery::KernelDef kMeanAbsNormCpu = {"cpu", "cpu", 0, supports, nullptr, run};

}  // namespace example
