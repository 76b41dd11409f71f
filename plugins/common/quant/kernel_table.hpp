// What one instruction set offers to matmul.cpp. Plain data: see layout.hpp about the kernel files.
#pragma once

#include "layout.hpp"

namespace orrery::quant {

struct ProductCall {
    const uint8_t* packed;
    int64_t rows, cols, tokens;
    int64_t stored_cols;  // of the packed matrix: cols are its first
    const int32_t* row_index;
    float* dst;
    int64_t dst_stride;
    const float* bias;
    int64_t tile_begin, tile_end;
};

struct QuantCall : ProductCall {
    const int8_t* codes;
    const float* scales;
    const int32_t* sums;
    const int32_t* halves;
};

inline constexpr int kPanelCols = 256;

// Writes columns [begin, begin + count) of a weight tile as f32, column-major: panel[(k - begin) * 16 + row].
using PanelFill = void (*)(const void* context, int64_t tile, int64_t begin, int count, float* panel);

struct FloatCall : ProductCall {
    const float* x;
    int64_t x_stride;
    PanelFill fill;  // null: the weights come from packed
    const void* context;
};

struct KernelTable {
    void (*quantise_row)(const float* src, int64_t blocks, int8_t* codes, float* scales, int32_t* sums, int32_t* halves);
    void (*matmul[kQuantisedFormats])(const QuantCall& call);
    void (*matmul_f32[kFormatCount])(const FloatCall& call);
    void (*matmul_fill)(const FloatCall& call);  // through call.fill
};

const KernelTable& scalar_kernels();
const KernelTable& sse41_kernels();
const KernelTable& avx2_kernels();
const KernelTable& avxvnni_kernels();
const KernelTable& avx512vnni_kernels();
void avx512bf16_product(const FloatCall& call);  // bf16 weights from packed, an even number of columns

}  // namespace orrery::quant
