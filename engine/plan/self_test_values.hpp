// Numbers for self-tests: the same every time, of every type.
#pragma once
#include <cstdint>

#include "engine/registry/registry.hpp"

namespace orrery {

class TestNumbers {
  public:
    explicit TestNumbers(uint64_t seed) : state_(seed * 0x9e3779b97f4a7c15u + 1) {}
    // Writes n elements of the type (whole blocks) between low and high. False where no blocks of sensible size were found for a type that
    // cannot be quantised into.
    bool fill(const TypeInfo& type, int64_t n, double low, double high, void* dst);

  private:
    uint64_t next();
    double between(double low, double high);
    bool fill_blocks(const TypeInfo& type, int64_t blocks, double low, double high, uint8_t* dst);
    uint64_t state_;
};

}  // namespace orrery
