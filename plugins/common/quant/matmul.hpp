// Matrix products with packed weights on the CPU: y[t, n] = sum_k x[t, k] * w[n, k] (+ bias[n]).
//
// Default numerics: x is quantised on the fly to int8 in blocks of 32 (one form for every weight type), integer products inside a block, f32
// across blocks. Exact numerics, and float weights: f32 products and sums.
// The sum of one (t, n) runs over k in one fixed order, so its bits depend on the instruction set and on K alone: not on T, on the tile range
// nor on the number of threads. Callers share the work by giving each thread a range of weight tiles.
// Nothing here allocates, throws or keeps state. Kernels use at most 96 KiB of stack.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>

#include "isa.hpp"
#include "layout.hpp"
#include "types.hpp"

namespace orrery::quant {

// One packed weight type. Obtained from find_weight_format; lives for ever.
struct WeightFormat {
    const char* type;    // type id of the source
    const char* layout;  // "rows16/1"
    Format id;
    bool quantised;  // false: f32, f16, bf16

    const FormatSpec& spec() const { return spec_of(id); }
    // Columns must be a multiple of this.
    int64_t column_multiple() const { return spec().source_elems; }
    static int64_t tiles(int64_t rows) { return (rows + kTileRows - 1) / kTileRows; }
    // Size of the packed matrix; -1 when cols is not a multiple of column_multiple() or a size is negative.
    // Align the buffer to 64 bytes at least; from a few megabytes on, to 2 MiB with huge pages (decode reads it once a token).
    int64_t packed_bytes(int64_t rows, int64_t cols) const;
    // Writes tiles [tile_begin, tile_end) of dst from the file layout. src is the whole matrix; tile i reads rows 16 i .. 16 i + 15 only,
    // so ranges may run on several threads and the source pages behind a finished range can be released. Rows past the end are zero.
    void pack(const void* src, int64_t rows, int64_t cols, int64_t tile_begin, int64_t tile_end, void* dst) const;
    // One row back as f32, bit for bit what the type's dequantiser gives from the source (for embeddings that share the head's weights).
    void unpack_row(const void* packed, int64_t cols, int64_t row, float* dst) const;
};

const WeightFormat* find_weight_format(std::string_view type);

// Activations in int8: x[t, 32 b + i] ~ scales[t, b] * codes[t, 32 b + i]. A view; the buffer is the caller's.
struct QuantisedRows {
    int64_t rows = 0, cols = 0;
    int8_t* codes = nullptr;    // [rows, cols], in -127 .. 127
    float* scales = nullptr;    // [rows, cols / 32]
    int32_t* sums = nullptr;    // [rows, cols / 32]: sum of the codes of a block
    int32_t* halves = nullptr;  // [rows, cols / 16]: the same of each half block

    // Bytes for a buffer aligned to 64; cols is a multiple of 32.
    static int64_t bytes(int64_t rows, int64_t cols);
    static QuantisedRows view(void* buffer, int64_t rows, int64_t cols);
};

// Quantises rows [row_begin, row_end) of src (row stride in elements). A NaN or an infinity in a block makes the block's products NaN or inf.
// Returns the instruction set that ran. [any-thread]
Isa quantise_rows(const float* src, int64_t src_stride, int64_t row_begin, int64_t row_end, const QuantisedRows& dst, Isa isa);

struct Product {
    const WeightFormat* format = nullptr;
    const void* packed = nullptr;
    int64_t rows = 0, cols = 0;  // N, K of the weights
    int64_t tokens = 0;          // T
    // Row of x for each token, or null for 0 .. T - 1. Expert products gather their rows through this.
    const int32_t* row_index = nullptr;
    float* dst = nullptr;  // dst[t * dst_stride + n]
    int64_t dst_stride = 0;
    const float* bias = nullptr;  // [N] or null
    int64_t stored_cols = 0;      // K of the packed matrix where that has more: cols are its first, whole blocks of the type. 0: cols
};

// Writes columns n of tiles [tile_begin, tile_end) of dst. isa must be supported. Returns the instruction set that ran, so that a forced
// choice can be asserted. [any-thread]
Isa matmul(const Product& product, const QuantisedRows& x, int64_t tile_begin, int64_t tile_end, Isa isa);
// f32 activations. Quantised weights are expanded to f32 (exact numerics); float weights are used as they are.
Isa matmul_f32(const Product& product, const float* x, int64_t x_stride, int64_t tile_begin, int64_t tile_end, Isa isa);
// bf16 weights, activations rounded to bf16, sums in f32. Needs bf16_dot_supported() and an even number of columns. [any-thread]
void matmul_bf16(const Product& product, const float* x, int64_t x_stride, int64_t tile_begin, int64_t tile_end);
// The same numbers as matmul_f32, bit for bit, straight from the file layout (product.format and product.packed are ignored): for weights that are not
// packed. src: rows of row_bytes(type, cols) bytes; cols a multiple of the type's block.
Isa matmul_f32_source(const Product& product, const TypeInfo& type, const void* src, const float* x, int64_t x_stride, int64_t tile_begin,
                      int64_t tile_end, Isa isa);

// Weight tiles per unit of work: ranges that start at a multiple of this keep every kernel at its full width.
inline constexpr int64_t kTileStep = 2;

}  // namespace orrery::quant
