// How long a submission may take on a device, and how far the guesses of what work costs there were off.
#pragma once
#include <algorithm>
#include <atomic>
#include <cstdint>
#include <mutex>

namespace orrery::vulkan {

class Pace {
  public:
    explicit Pace(uint64_t bound_ns) : bound_ns_(bound_ns) {}
    uint64_t bound_ns() const { return bound_ns_; }
    // What parts of a plan are cut to: half of the bound, since the parts of one device differ among themselves.
    uint64_t part_ns() const { return bound_ns_ / 2; }
    // Time that work took over the time guessed, of the slowest seen of late; 1 before any was.
    double scale() const { return scale_.load(std::memory_order_relaxed); }
    // A submission took longer than the bound.
    void learn(uint64_t guessed_ns, uint64_t took_ns) {
        const std::lock_guard lock(mutex_);
        scale_.store(std::max(scale(), std::min(kMostScale, ratio(guessed_ns, took_ns))), std::memory_order_relaxed);
        fast_ = 0;
    }
    // Any submission. Something else on the device may have been what was slow: after kCalm of them in a row that took less than half of what the scale
    // says, the scale falls to the slowest of these. Those too short to tell do not count.
    void watch(uint64_t guessed_ns, uint64_t took_ns) {
        const double known = scale();
        if (known <= 1 || static_cast<double>(guessed_ns) * known < static_cast<double>(part_ns()) / 4) return;
        const double seen = ratio(guessed_ns, took_ns - std::min(took_ns, bound_ns_ / 100));  // less what starting takes
        const std::lock_guard lock(mutex_);
        if (2 * seen >= scale()) {
            fast_ = 0;
            return;
        }
        slowest_ = fast_ == 0 ? seen : std::max(slowest_, seen);
        if (++fast_ < kCalm) return;
        scale_.store(std::max(1.0, slowest_), std::memory_order_relaxed);
        fast_ = 0;
    }
    static constexpr uint32_t kCalm = 256;

  private:
    static double ratio(uint64_t guessed_ns, uint64_t took_ns) { return static_cast<double>(took_ns) / static_cast<double>(std::max<uint64_t>(guessed_ns, 1)); }
    static constexpr double kMostScale = 1e4;
    const uint64_t bound_ns_;
    std::atomic<double> scale_{1};
    std::mutex mutex_;
    uint32_t fast_ = 0;   // in a row
    double slowest_ = 0;  // of these
};

}  // namespace orrery::vulkan
