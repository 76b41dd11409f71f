// Rotary position embedding: what operators that turn heads declare and check, and one head for references.
#pragma once

#include "float_abi/float_abi.hpp"

namespace orrery::attention {

// Where an operator has them among its inputs.
struct RotationPorts {
    uint32_t positions, freq, long_freq;
};
// Names of attributes, where an operator has another scale too.
struct RotationNames {
    const char *scale = "scale", *long_scale = "long_scale";
};

Operator& declare_rotation_ports(Operator& op);
Operator& declare_rotation_attrs(Operator& op, const RotationNames& names = {});
// For infer(): x [B, T, H, D] at a port against positions and tables. op: who asks; x_name: what it calls the port.
void check_rotation(const Infer& i, const std::string& op, uint32_t x, const std::string& x_name, const RotationPorts& at);

struct RotationAttrs {
    bool interleaved;
    double scale, long_scale;
    int64_t switch_length;

    explicit RotationAttrs(const orr_attrs* a, const RotationNames& names = {})
        : interleaved(a->get_int(a, "interleaved") != 0), scale(a->get_float(a, names.scale)), long_scale(a->get_float(a, names.long_scale)), switch_length(a->get_int(a, "switch_length")) {}
};

// The angle is the f32 product that upstream takes its cosine of: at position 100,000 an f64 product would differ by more than the result's rounding.
class Rotation {
  public:
    Rotation(const RotationAttrs& attrs, const orr_tensor& positions, const orr_tensor& freq, const orr_tensor* long_freq) : attrs_(attrs), positions_(positions), freq_(freq), long_freq_(long_freq) {}
    // y [D] = x[b, t, h], turned
    void turn(const orr_tensor& x, int64_t b, int64_t t, int64_t h, double* y) const {
        const bool interleaved = attrs_.interleaved, far = is_far(b);
        const int64_t half = freq_.shape[0];
        const orr_tensor& freq = far ? *long_freq_ : freq_;
        const double scale = far ? attrs_.long_scale : attrs_.scale;
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
        const int64_t limit = attrs_.switch_length;
        double largest = -1;
        for (int64_t t = 0; t < positions_.shape[1]; ++t) largest = std::fmax(largest, flt::number(positions_, {b, t}));
        return limit > 0 && largest + 1 > static_cast<double>(limit);
    }

    const RotationAttrs attrs_;
    const orr_tensor &positions_, &freq_;
    const orr_tensor* long_freq_;
};

}  // namespace orrery::attention
