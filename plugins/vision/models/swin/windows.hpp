// Tables of Swin's windows over a grid of tokens, all known once the image size is.
#ifndef ORRERY_SWIN_WINDOWS_HPP
#define ORRERY_SWIN_WINDOWS_HPP

#include <cstddef>
#include <cstdint>
#include <vector>

namespace orrery {

struct Grid {
    int64_t height, width;
    // Grown at the bottom and on the right to multiples of `side`.
    Grid padded_to(int64_t side) const { return {(height + side - 1) / side * side, (width + side - 1) / side * side}; }
};

struct WindowTables {
    // Row of the padded grid that stands at each place of the windows, window by window.
    std::vector<int32_t> to_windows;
    // Place in the windows of each token of the unpadded grid.
    std::vector<int32_t> from_windows;
    // Both are 0, 1, 2 …
    bool in_order() const;
};
// Windows of side `window` over the grid rolled by -shift along both axes.
WindowTables window_tables(Grid grid, int64_t window, int64_t shift);

// [windows, w*w, w*w] flat: 0 where both places lie in the same region of the unrolled grid, else -100.
std::vector<float> shift_mask(Grid grid, int64_t window, int64_t shift);

// [w*w, w*w] flat: row of the bias table for each pair of places in a window.
std::vector<int32_t> relative_index(int64_t window);

// Rows of an even grid in the order (0,0) (1,0) (0,1) (1,1) of each 2 x 2 square (row, column).
std::vector<int32_t> merge_order(Grid grid);

}  // namespace orrery
#endif
