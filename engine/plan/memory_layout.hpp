// Where each buffer of a plan lies: buffers whose lifetimes do not meet may share bytes.
#pragma once
#include <cstddef>
#include <cstdint>
#include <vector>

namespace orrery {

struct LayoutItem {
    uint64_t bytes = 0;
    size_t first = 0, last = 0;  // steps in which it is alive, both included
    uint64_t offset = 0;         // result, a multiple of 64
};

// Fills in offsets; returns the bytes needed in all.
uint64_t lay_out(std::vector<LayoutItem>& items);

}  // namespace orrery
