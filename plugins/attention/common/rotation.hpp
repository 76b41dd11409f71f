// Rotary position embedding of one head, for references.
#pragma once

#include "float_abi/float_abi.hpp"

namespace orrery::attention {

// The angle is the f32 product that upstream takes its cosine of: at position 100,000 an f64 product would differ by more than the result's rounding.
class Rotation {
  public:
    Rotation(const orr_attrs* attrs, const orr_tensor& positions, const orr_tensor& freq, const orr_tensor* long_freq) : attrs_(attrs), positions_(positions), freq_(freq), long_freq_(long_freq) {}
    // y [D] = x[b, t, h], turned
    void turn(const orr_tensor& x, int64_t b, int64_t t, int64_t h, double* y) const {
        const bool interleaved = attrs_->get_int(attrs_, "interleaved") != 0, far = is_far(b);
        const int64_t half = freq_.shape[0];
        const orr_tensor& freq = far ? *long_freq_ : freq_;
        const double scale = attrs_->get_float(attrs_, far ? "long_scale" : "scale");
        for (int64_t d = 2 * half; d < x.shape[3]; ++d) y[d] = flt::number(x, {b, t, h, d});
        for (int64_t i = 0; i < half; ++i) {
            const float angle = static_cast<float>(flt::number(positions_, {b, t})) * static_cast<float>(flt::number(freq, i));
            const double c = scale * std::cos(static_cast<double>(angle)), s = scale * std::sin(static_cast<double>(angle));
            const int64_t first = interleaved ? 2 * i : i, second = interleaved ? 2 * i + 1 : i + half;
            const double p = flt::number(x, {b, t, h, first}), q = flt::number(x, {b, t, h, second});
            y[first] = p * c - q * s;
            y[second] = q * c + p * s;
        }
    }

  private:
    bool is_far(int64_t b) const {
        const int64_t limit = attrs_->get_int(attrs_, "switch_length");
        double largest = -1;
        for (int64_t t = 0; t < positions_.shape[1]; ++t) largest = std::fmax(largest, flt::number(positions_, {b, t}));
        return limit > 0 && largest + 1 > static_cast<double>(limit);
    }

    const orr_attrs* attrs_;
    const orr_tensor &positions_, &freq_;
    const orr_tensor* long_freq_;
};

}  // namespace orrery::attention
