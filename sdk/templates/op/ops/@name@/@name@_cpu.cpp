// y[r, i] = w[i] * softsign(scale * x[r, i]), softsign(v) = v / (1 + |v|), in f32
// x: [.., E], rows contiguous, at any distances    w: [E] contiguous    y: contiguous
#include <algorithm>
#include <cmath>
#include <string>

#include "ops/@name@/@name@.hpp"

namespace orrery::@name@_kernels {
namespace {

// About what a thread must be given for handing it over to pay.
constexpr int64_t kElemsPerChunk = 16384;

// Says why not where it refuses: "orrery inspect MODEL plan" shows the text, and the next kernel of the table is asked.
bool supports(const orr_prepare* p, char* reason, size_t reason_size) {
    for (const orr_tensor* t : {p->inputs[kX], p->inputs[kW], p->outputs[0]}) {
        const int32_t last = t->rank - 1;
        if (t->shape[last] > 1 && t->stride_bytes[last] != static_cast<int64_t>(sizeof(float)))
            return refuse(reason, reason_size, describe(*t) + " has a strided last axis");
    }
    return true;
}

// One row: the compiler turns the loop into vector instructions.
void softsign_row(const float* __restrict x, const float* __restrict w, float* __restrict y, int64_t n, float scale) {
    for (int64_t i = 0; i < n; i++) {
        const float v = scale * x[i];
        y[i] = w[i] * (v / (1 + std::abs(v)));
    }
}

orr_status run(const orr_run* run) {
    return guard(run->host, [&] {
        const orr_tensor &x = *run->inputs[kX], &y = *run->outputs[0];
        const auto scale = static_cast<float>(run->attrs->get_float(run->attrs, "scale"));
        const int64_t n = x.shape[x.rank - 1], rows = row_count(x);
        if (n == 0 || rows == 0) return;
        const auto* w = data<const float>(run->inputs[kW]);
        const int64_t rows_per_chunk = std::max<int64_t>(1, kElemsPerChunk / n);
        parallel_for(run, (rows + rows_per_chunk - 1) / rows_per_chunk, [&](int64_t chunk, uint32_t) {
            const int64_t end = std::min(rows, (chunk + 1) * rows_per_chunk);
            for (int64_t r = chunk * rows_per_chunk; r < end; r++) {
                const auto* from = reinterpret_cast<const float*>(static_cast<const char*>(x.data) + row_offset_bytes(x, r));
                softsign_row(from, w, reinterpret_cast<float*>(static_cast<char*>(y.data) + row_offset_bytes(y, r)), n, scale);
            }
        });
    });
}

}  // namespace

const KernelDef kCpu = {"cpu", "cpu", 0, supports, nullptr, run};

}  // namespace orrery::@name@_kernels
