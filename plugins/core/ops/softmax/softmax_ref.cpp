// The definition, in f64.
// y = e^(x - max x) / sum e^(x - max x) along one axis, as torch.softmax has it; a line of -inf throughout gives NaN there, zeros here
// x, y: [..] f32
#include <cmath>

#include "ops/softmax/softmax.hpp"

namespace orrery::core {
namespace {

orr_status run(const orr_run* run) {
    return guard(run->host, [&] {
        const orr_tensor &x = *run->inputs[0], &y = *run->outputs[0];
        const int64_t given = run->attrs->get_int(run->attrs, "axis");
        const auto axis = static_cast<int32_t>(given < 0 ? given + x.rank : given);
        flt::Index at{};
        const auto line = [&](const orr_tensor& t) {
            int64_t bytes = 0;
            for (int32_t k = 0; k < t.rank; ++k) bytes += at[static_cast<size_t>(k)] * t.stride_bytes[k];
            return static_cast<char*>(t.data) + bytes;
        };
        int64_t lines = elements(x);
        if (lines == 0) return;
        lines /= x.shape[axis];
        for (int64_t l = 0; l < lines; ++l) {
            const char* from = line(x);
            char* to = line(y);
            double top = -INFINITY, total = 0;
            const auto value = [&](int64_t i) { return flt::number_at(ORR_TYPE_F32, from + i * x.stride_bytes[axis]); };
            for (int64_t i = 0; i < x.shape[axis]; ++i) top = value(i) > top ? value(i) : top;
            for (int64_t i = 0; i < x.shape[axis]; ++i) total += top == -INFINITY && value(i) == top ? 0.0 : std::exp(value(i) - (top == -INFINITY ? 0.0 : top));
            for (int64_t i = 0; i < x.shape[axis]; ++i) {
                const double p = total == 0.0 ? 0.0 : std::exp(value(i) - top) / total;
                const auto f = static_cast<float>(p);
                std::memcpy(to + i * y.stride_bytes[axis], &f, 4);
            }
            for (int32_t k = x.rank - 1; k >= 0; --k) {  // the next line
                if (k == axis) continue;
                if (++at[static_cast<size_t>(k)] < x.shape[k]) break;
                at[static_cast<size_t>(k)] = 0;
            }
        }
    });
}

}  // namespace

const KernelDef kSoftmaxReference = {"reference", "cpu", ORR_KERNEL_REFERENCE, nullptr, nullptr, run};

}  // namespace orrery::core
