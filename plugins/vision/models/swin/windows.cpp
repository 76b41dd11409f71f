#include "windows.hpp"

namespace orrery {
namespace {

// Calls visit(place, row, column) for each place of the windows over a padded grid.
template <class Visit>
void each_place(Grid padded, int64_t window, Visit&& visit) {
    int64_t place = 0;
    for (int64_t wr = 0; wr < padded.height; wr += window) {
        for (int64_t wc = 0; wc < padded.width; wc += window) {
            for (int64_t r = wr; r < wr + window; r++) {
                for (int64_t c = wc; c < wc + window; c++) visit(place++, r, c);
            }
        }
    }
}

// The part of a rolled axis: 0 its body, 1 what shares the last window with 2, the wrapped-round end.
int32_t region(int64_t at, int64_t length, int64_t window, int64_t shift) { return (at >= length - window) + (at >= length - shift); }

}  // namespace

bool WindowTables::in_order() const {
    if (from_windows.size() != to_windows.size()) return false;
    for (size_t i = 0; i < to_windows.size(); i++) {
        if (to_windows[i] != static_cast<int32_t>(i)) return false;
    }
    return true;
}

WindowTables window_tables(Grid grid, int64_t window, int64_t shift) {
    const Grid padded = grid.padded_to(window);
    WindowTables t;
    t.to_windows.resize(static_cast<size_t>(padded.height * padded.width));
    t.from_windows.resize(static_cast<size_t>(grid.height * grid.width));
    each_place(padded, window, [&](int64_t place, int64_t r, int64_t c) {
        const int64_t row = (r + shift) % padded.height, column = (c + shift) % padded.width;  // torch.roll by -shift
        t.to_windows[static_cast<size_t>(place)] = static_cast<int32_t>(row * padded.width + column);
        if (row < grid.height && column < grid.width) t.from_windows[static_cast<size_t>(row * grid.width + column)] = static_cast<int32_t>(place);
    });
    return t;
}

std::vector<float> shift_mask(Grid grid, int64_t window, int64_t shift) {
    const Grid padded = grid.padded_to(window);
    std::vector<int32_t> regions(static_cast<size_t>(padded.height * padded.width));
    each_place(padded, window, [&](int64_t place, int64_t r, int64_t c) {
        regions[static_cast<size_t>(place)] = region(r, padded.height, window, shift) * 3 + region(c, padded.width, window, shift);
    });
    const size_t area = static_cast<size_t>(window * window);
    std::vector<float> mask;
    mask.reserve(regions.size() * area);
    for (size_t start = 0; start < regions.size(); start += area) {
        for (size_t q = 0; q < area; q++) {
            for (size_t k = 0; k < area; k++) mask.push_back(regions[start + q] == regions[start + k] ? 0.0f : -100.0f);
        }
    }
    return mask;
}

std::vector<int32_t> relative_index(int64_t window) {
    const int64_t side = 2 * window - 1;
    std::vector<int32_t> index;
    index.reserve(static_cast<size_t>(window * window * window * window));
    for (int64_t q = 0; q < window * window; q++) {
        for (int64_t k = 0; k < window * window; k++) {
            const int64_t down = q / window - k / window + window - 1, across = q % window - k % window + window - 1;
            index.push_back(static_cast<int32_t>(down * side + across));
        }
    }
    return index;
}

std::vector<int32_t> merge_order(Grid grid) {
    std::vector<int32_t> order;
    order.reserve(static_cast<size_t>(grid.height * grid.width));
    for (int64_t r = 0; r < grid.height; r += 2) {
        for (int64_t c = 0; c < grid.width; c += 2) {
            for (int64_t across = 0; across < 2; across++) {
                for (int64_t down = 0; down < 2; down++) order.push_back(static_cast<int32_t>((r + down) * grid.width + c + across));
            }
        }
    }
    return order;
}

}  // namespace orrery
