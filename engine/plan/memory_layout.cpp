#include "engine/plan/memory_layout.hpp"

#include <algorithm>
#include <numeric>

namespace orrery {

// Largest first, each at the lowest place where it meets nothing that is alive with it.
uint64_t lay_out(std::vector<LayoutItem>& items) {
    constexpr uint64_t kAlign = 64;
    std::vector<size_t> order(items.size());
    std::iota(order.begin(), order.end(), size_t{0});
    std::stable_sort(order.begin(), order.end(), [&](size_t a, size_t b) { return items[a].bytes > items[b].bytes; });
    std::vector<size_t> placed;  // by offset
    uint64_t total = 0;
    for (const size_t i : order) {
        LayoutItem& item = items[i];
        const uint64_t bytes = (item.bytes + kAlign - 1) / kAlign * kAlign;
        uint64_t at = 0;
        for (const size_t p : placed) {
            const LayoutItem& other = items[p];
            if (other.last < item.first || other.first > item.last) continue;
            if (other.offset >= at + bytes) break;
            at = std::max(at, other.offset + (other.bytes + kAlign - 1) / kAlign * kAlign);
        }
        item.offset = at;
        total = std::max(total, at + bytes);
        placed.insert(std::upper_bound(placed.begin(), placed.end(), i, [&](size_t a, size_t b) { return items[a].offset < items[b].offset; }), i);
    }
    return total;
}

}  // namespace orrery
