// The matrix tile that every product here is made of, one table per instruction set. Internal to the library.
#pragma once

#include <cstdint>

#include "float/isa.hpp"

namespace orrery::flt {

inline constexpr int kPanel = 16;      // columns of a weight panel, for every instruction set
inline constexpr int kMaxTileRows = 12;

// C[r, p*16 + j] (+)= sum_k A[r, k] * B_p[k, j], for `rows` rows and `panels` panels of 16 columns.
// A: row stride lda. Panel p of B starts at b + p * panel_stride; its row k lies ldb floats after row k - 1. C: row stride ldc.
// Every element is one chain of (fused where the machine has it) multiply-adds over k in rising order, so its bits depend on
// neither the rows, nor the panels, nor on where a long k is cut between accumulating calls.
struct TileArgs {
    const float* a;
    int64_t lda;
    const float* b;
    int64_t panel_stride;
    int64_t ldb;
    int64_t k;
    float* c;
    int64_t ldc;
    int32_t rows;
    int32_t panels;
    bool accumulate;
};

struct TileKernels {
    Isa isa;               // what this table was compiled for
    int32_t tile_rows;     // rows and panels of the widest register tile
    int32_t tile_panels;
    void (*tile)(const TileArgs&);
    // dst[k][16] = src[n0 + j][k] for j < columns (zero beyond): one panel from rows of B^T. src row stride lds.
    void (*pack_rows)(const float* src, int64_t lds, int64_t columns, int64_t k, float* dst);
};

const TileKernels& tile_kernels(Isa isa);

}  // namespace orrery::flt
