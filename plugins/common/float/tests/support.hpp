// What the tests share: seeded data, guarded buffers, every instruction set of this machine, pools of 1, 2 and 3 threads.
#pragma once

#include <gtest/gtest.h>

#include <cmath>
#include <cstdint>
#include <cstring>
#include <memory>
#include <vector>

#include "float/isa.hpp"
#include "float/tests/pool.hpp"

namespace orrery::flt {

// Element i: low + (high - low) * 24 random bits, by splitmix64: the same numbers in make_torch_values.py.
inline std::vector<float> fill(int64_t n, uint64_t seed, double low = -1.0, double high = 1.0) {
    std::vector<float> x(static_cast<size_t>(n));
    for (int64_t i = 0; i < n; ++i) {
        uint64_t z = (seed * 0x9E3779B97F4A7C15ull + static_cast<uint64_t>(i) + 1) * 0x9E3779B97F4A7C15ull;
        z = (z ^ z >> 30) * 0xBF58476D1CE4E5B9ull;
        z = (z ^ z >> 27) * 0x94D049BB133111EBull;
        z ^= z >> 31;
        x[static_cast<size_t>(i)] = static_cast<float>(low + (high - low) * (static_cast<double>(z >> 40) / 16777216.0));
    }
    return x;
}

inline std::vector<Isa> isas() {
    std::vector<Isa> all;
    for (int i = 0; i < kIsaCount; ++i)
        if (isa_supported(static_cast<Isa>(i))) all.push_back(static_cast<Isa>(i));
    return all;
}

// n floats between two bands that nobody may touch.
class Guarded {
  public:
    explicit Guarded(int64_t n) : n_(n), data_(static_cast<size_t>(n + 2 * kBand), kMark) { std::fill_n(get(), n, 0.0f); }
    float* get() { return data_.data() + kBand; }
    std::vector<float> values() const { return {data_.begin() + kBand, data_.end() - kBand}; }
    bool intact() const {
        for (int64_t i = 0; i < kBand; ++i)
            if (data_[static_cast<size_t>(i)] != kMark || data_[static_cast<size_t>(n_ + kBand + i)] != kMark) return false;
        return true;
    }

  private:
    static constexpr int64_t kBand = 64;
    static constexpr float kMark = 12345.678f;
    int64_t n_;
    std::vector<float> data_;
};

// Exactly the bytes asked for, between bands as well.
class Workspace {
  public:
    explicit Workspace(size_t bytes) : floats_(static_cast<int64_t>((bytes + 3) / 4)), guarded_(floats_ + 16) {
        auto at = reinterpret_cast<uintptr_t>(guarded_.get());
        at_ = guarded_.get() + ((64 - at % 64) % 64) / 4;
    }
    void* get() { return at_; }
    bool intact() const { return guarded_.intact(); }

  private:
    int64_t floats_;
    Guarded guarded_;
    float* at_;
};

inline Pool& pool(int threads) {
    static std::unique_ptr<Pool> pools[4];
    if (!pools[threads]) pools[threads] = std::make_unique<Pool>(threads);
    return *pools[threads];
}

// |got - want| <= tol * max(1, |want|)
inline ::testing::AssertionResult near(const std::vector<float>& got, const std::vector<double>& want, double tol) {
    if (got.size() != want.size()) return ::testing::AssertionFailure() << got.size() << " values, wanted " << want.size();
    for (size_t i = 0; i < got.size(); ++i)
        if (!(std::abs(got[i] - want[i]) <= tol * std::fmax(1.0, std::abs(want[i]))))
            return ::testing::AssertionFailure() << "at " << i << ": " << got[i] << ", wanted " << want[i];
    return ::testing::AssertionSuccess();
}

inline ::testing::AssertionResult same_bits(const std::vector<float>& a, const std::vector<float>& b) {
    if (a.size() != b.size()) return ::testing::AssertionFailure() << a.size() << " values against " << b.size();
    for (size_t i = 0; i < a.size(); ++i)
        if (std::memcmp(&a[i], &b[i], 4) != 0) return ::testing::AssertionFailure() << "at " << i << ": " << a[i] << " against " << b[i];
    return ::testing::AssertionSuccess();
}

}  // namespace orrery::flt
