// Products of f32 matrices: activations by prepacked weights, and activations by activations.
#pragma once

#include <cstddef>
#include <cstdint>

#include "float/isa.hpp"
#include "float/parallel.hpp"
#include "float/vector_kernels.hpp"

namespace orrery::flt {

// Layout of packed weights, the same for every instruction set: [ceil(N / 16)][K][16], element (n, k) at
// [n / 16][k][n % 16], the last panel padded with zeros.
inline constexpr const char* kPackedLayout = "f32_panel16";

size_t gemm_packed_bytes(int64_t n, int64_t k);

enum class WeightOrder : int32_t {
    rows,    // w[n][k], as torch.nn.Linear keeps it
    columns  // w[k][n], as GPT-2's Conv1D keeps it
};
// ld: floats between the source's rows. dst: gemm_packed_bytes, any alignment (64 is best).
void gemm_pack(Isa isa, const float* w, int64_t n, int64_t k, int64_t ld, WeightOrder order, float* dst, const Parallel& parallel);

// Gives rows of the left operand that are not lying in memory (im2col): dst[r][k] for r in [row0, row1), k in [k0, k1), with
// ldd floats between rows.
struct RowSource {
    void (*fill)(const void* self, int64_t row0, int64_t row1, int64_t k0, int64_t k1, float* dst, int64_t ldd);
    const void* self;
};

// dst[t, n] = activation(scale * sum_k x[t, k] w[n, k] + bias[n]) + residual[t, n]
struct GemmArgs {
    int64_t t, n, k;
    const float* x = nullptr;  // [T, K], or null where `rows` gives them
    int64_t ldx = 0;
    RowSource rows = {nullptr, nullptr};
    const float* w = nullptr;  // packed
    int64_t w_k = 0;           // K of the packed matrix where that has more, k being its first; 0: k
    float* dst = nullptr;      // may be the residual; overlaps nothing else
    int64_t dst_row = 0;       // floats between rows, and between columns
    int64_t dst_col = 1;
    Epilogue epilogue;
};

// Grows with t and threads, so the bytes for the largest t serve every smaller one.
size_t gemm_workspace_bytes(int64_t t, int64_t n, int64_t k, int threads);

// The 2-D split that gemm uses: row_parts x col_parts chunks.
struct Partition {
    int64_t row_parts, col_parts;
};
Partition gemm_partition(int64_t t, int64_t n, int64_t k, int threads, bool filled = false);  // filled: rows come from a RowSource

// Bits: an element is one chain over k, so neither t, nor threads, nor the split changes them. T = 1 takes the same chain.
// workspace: gemm_workspace_bytes, aligned to 64; may be null where that is 0.
void gemm(Isa isa, const GemmArgs& args, void* workspace, const Parallel& parallel);

// dst[b][m, n] = scale * sum_k a[b][m, k] * b[b][k, n] over up to two batch axes; any stride may be 0 (broadcast).
// b_row is the stride along k and b_col along n; one of them is 1.
struct MatmulArgs {
    int64_t batch0 = 1, batch1 = 1;
    int64_t m, n, k;
    const float* a;
    int64_t a_batch0 = 0, a_batch1 = 0, a_row;
    const float* b;
    int64_t b_batch0 = 0, b_batch1 = 0, b_row, b_col;
    float* dst;
    int64_t dst_batch0 = 0, dst_batch1 = 0, dst_row;
    float scale = 1.0f;
};
size_t matmul_workspace_bytes(int64_t m, int64_t n, int64_t k, int threads);
void matmul(Isa isa, const MatmulArgs& args, void* workspace, const Parallel& parallel);

}  // namespace orrery::flt
