// Weights packed for products on devices: shaders/common/tiles.h tells the layout.
#pragma once

#include "common/tiles.h"
#include "orrery/plugin.hpp"

namespace orrery::vk {

struct Tiles {
    uint32_t type;              // TILE_*
    int64_t rows, cols, stack;  // N, K, number of matrices
    bool whole = false;         // of the constant that the weight is a part of
    uint64_t offset = 0;        // where the part lies, in bytes

    uint32_t blocks() const { return static_cast<uint32_t>((cols + 31) / 32); }
    int64_t row_tiles() const { return (rows + 31) / 32; }
    uint64_t matrix_bytes() const { return static_cast<uint64_t>(row_tiles()) * shaders::tile_row_bytes(type, blocks()); }
};

// Number of a packed type, -1 for one that has none.
int32_t tile_type(const orr_tensor& weight);

// Whether a tensor of rank 2 (or 3, a stack) can be packed; else writes why not. transposed: [K, N], float types only.
bool can_pack(const orr_tensor& weight, bool transposed, char* reason, size_t size);
Tiles describe_tiles(const orr_tensor& weight, bool transposed);
// The packed form of the whole where the weight is a part of a constant that can be used where it lies; else of the weight itself.
Tiles place_tiles(orr_prepare* p, uint32_t input, bool transposed);
orr_status pack_tiles(orr_prepare* p, uint32_t input, const Tiles& tiles, bool transposed);

}  // namespace orrery::vk
