// The bounds of orr.clamp/1 as the kernels and the formula read them.
#pragma once

#include <limits>

namespace orrery::core {

// Beyond f32: none.
inline float clamp_bound(double v) {
    constexpr double kLargest = std::numeric_limits<float>::max();
    if (v > kLargest) return std::numeric_limits<float>::infinity();
    if (v < -kLargest) return -std::numeric_limits<float>::infinity();
    return static_cast<float>(v);
}

}  // namespace orrery::core
