// A weight tensor [N, K] (or [K, N], or a stack of them) in a plan: which kernel multiplies by it, in which layout.
#pragma once

#include <cstdint>

#include "linear/isa.hpp"
#include "orrery/plugin.hpp"
#include "quant/matmul.hpp"

namespace orrery::linear {

enum class Method : int32_t {
    kInt8,    // packed block type, activations in int8
    kF32,     // packed, f32 activations: exact numerics of block types; f16 and bf16 weights
    kBf16,    // bf16 weights, activations rounded to bf16 on the fly
    kGemm,    // packed f32 weights by the float library's GEMM
    kSource,  // weights as they come: they are not constant
};

// Plain data: lives in a plan's memory.
struct Weight {
    Method method;
    const quant::WeightFormat* format;
    const quant::TypeInfo* type;
    int64_t rows, cols, stack;         // N, K, number of matrices
    int64_t stored_rows, stored_cols;  // of the packed matrix, of which this one may be a part: some rows, of them the first columns
    int64_t first_tile;                // where the part begins
    quant::Isa isa;
    flt::Isa float_isa;

    int64_t tiles() const { return quant::WeightFormat::tiles(rows); }
    int64_t matrix_bytes() const { return method == Method::kSource ? rows * quant::row_bytes(*type, cols) : format->packed_bytes(stored_rows, stored_cols); }
    int64_t tile_bytes() const { return format->packed_bytes(quant::kTileRows, cols); }
    // Of the part, in the packed matrix at `packed`.
    const void* at(const void* packed) const { return static_cast<const uint8_t*>(packed) + (first_tile ? first_tile * format->packed_bytes(quant::kTileRows, stored_cols) : 0); }
    const char* variant() const;
};

// The type's reference, or null for a type that this library does not know.
const quant::TypeInfo* find_type(const orr_tensor& weight);

// Whether a tensor of rank 2 (or 3, a stack) can be used; else writes why not. transposed: [K, N], float types only, constant only.
bool weight_fits(const orr_tensor& weight, bool transposed, char* reason, size_t reason_size);
Weight describe_weight(const orr_prepare* p, const orr_tensor& weight, bool transposed);
// Asks for the packed form of input `input`, where the method wants one: of the whole constant where the input is a part of one that can be used where it lies, as
// `weight` then tells.
orr_status pack_weight(orr_prepare* p, uint32_t input, Weight& weight, bool transposed);

// Activations of one product. q is only read by kInt8.
struct Rows {
    const float* x;
    int64_t x_stride;
    quant::QuantisedRows q;
};

// dst[t, n] for a chunk. data: the weight tensor's memory in run; matrix: index in the stack; row_index: see quant::Product, of token 0.
// Not for kGemm.
struct Target {
    float* dst;
    int64_t stride;
    const float* bias;
};
void multiply(const Weight& weight, const void* data, int64_t matrix, const Rows& x, const int32_t* row_index, int64_t token_begin, int64_t token_end,
              int64_t tile_begin, int64_t tile_end, const Target& target);

// Quantises rows 0 … count - 1 on the run's threads.
void quantise(const orr_run* run, const float* x, int64_t x_stride, int64_t count, const quant::QuantisedRows& q, quant::Isa isa);

// Bytes of a workspace part, rounded so that the next one is aligned.
inline uint64_t aligned(int64_t bytes) { return (static_cast<uint64_t>(bytes) + 63) / 64 * 64; }

// f32 view of a bias: itself, or converted into scratch (n floats).
const float* bias_f32(const orr_tensor* bias, float* scratch);

}  // namespace orrery::linear
