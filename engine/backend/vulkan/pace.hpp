// How long a submission may take on a device, and how far the guesses of what work costs there were off.
#pragma once
#include <algorithm>
#include <atomic>
#include <cstdint>

namespace orrery::vulkan {

class Pace {
  public:
    explicit Pace(uint64_t bound_ns) : bound_ns_(bound_ns) {}
    uint64_t bound_ns() const { return bound_ns_; }
    // What parts of a plan are cut to: half of the bound, since the parts of one device differ among themselves.
    uint64_t part_ns() const { return bound_ns_ / 2; }
    // Time that work took over the time guessed, of the slowest seen; 1 before any was.
    double scale() const { return scale_.load(std::memory_order_relaxed); }
    void learn(uint64_t guessed_ns, uint64_t took_ns) {
        const double seen = std::min(kMostScale, static_cast<double>(took_ns) / static_cast<double>(std::max<uint64_t>(guessed_ns, 1)));
        double known = scale();
        while (seen > known && !scale_.compare_exchange_weak(known, seen, std::memory_order_relaxed)) {
        }
    }

  private:
    static constexpr double kMostScale = 1e4;
    uint64_t bound_ns_;
    std::atomic<double> scale_{1};
};

}  // namespace orrery::vulkan
