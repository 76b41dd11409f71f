// The definition. The angle is the f32 product that upstream takes its cosine of: at position 100,000 an f64 product would differ by more than the result's rounding.
#include "ops/rope/rope.hpp"

namespace orrery::attention {
namespace {

orr_status run(const orr_run* run) {
    return guard(run->host, [&] {
        const orr_tensor &x = *run->inputs[kRopeX], &positions = *run->inputs[kRopePositions], &y = *run->outputs[0];
        const orr_attrs* attrs = run->attrs;
        const bool interleaved = attrs->get_int(attrs, "interleaved") != 0;
        const int64_t half = run->inputs[kRopeFreq]->shape[0], limit = attrs->get_int(attrs, "switch_length");
        for (int64_t b = 0; b < x.shape[0]; ++b) {
            double largest = -1;
            for (int64_t t = 0; t < x.shape[1]; ++t) largest = std::fmax(largest, flt::number(positions, {b, t}));
            const bool far = limit > 0 && largest + 1 > static_cast<double>(limit);
            const orr_tensor& freq = *run->inputs[far ? kRopeLongFreq : kRopeFreq];
            const double scale = attrs->get_float(attrs, far ? "long_scale" : "scale");
            for (int64_t t = 0; t < x.shape[1]; ++t)
                for (int64_t h = 0; h < x.shape[2]; ++h) {
                    char* to = data<char>(&y) + b * y.stride_bytes[0] + t * y.stride_bytes[1] + h * y.stride_bytes[2];
                    const auto write = [&](int64_t d, double v) {
                        const auto f = static_cast<float>(v);
                        std::memcpy(to + d * y.stride_bytes[3], &f, 4);
                    };
                    for (int64_t d = 2 * half; d < x.shape[3]; ++d) write(d, flt::number(x, {b, t, h, d}));
                    for (int64_t i = 0; i < half; ++i) {
                        const float angle = static_cast<float>(flt::number(positions, {b, t})) * static_cast<float>(flt::number(freq, i));
                        const double c = scale * std::cos(static_cast<double>(angle)), s = scale * std::sin(static_cast<double>(angle));
                        const int64_t first = interleaved ? 2 * i : i, second = interleaved ? 2 * i + 1 : i + half;
                        const double p = flt::number(x, {b, t, h, first}), q = flt::number(x, {b, t, h, second});
                        write(first, p * c - q * s);
                        write(second, q * c + p * s);
                    }
                }
        }
    });
}

}  // namespace

const KernelDef kRopeReference = {"reference", "cpu", ORR_KERNEL_REFERENCE, nullptr, nullptr, run};

}  // namespace orrery::attention
