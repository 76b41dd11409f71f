// Keys and values as they lie in a session: plain f32 tensors, or pages of a cache in a narrower type.
#pragma once

#include <cstddef>
#include <cstdint>

#include "float/isa.hpp"
#include "float/parallel.hpp"

namespace orrery::flt {

// q8_0: blocks of 32 values along D, each an f16 scale and 32 signed bytes (34 bytes); D is a multiple of 32.
enum class KvType : int32_t { f32, f16, bf16, q8_0 };

// Bytes of `elems` values; elems is a multiple of 32 for q8_0.
size_t kv_row_bytes(KvType type, int64_t elems);

// One sequence's cache. Page p holds tokens [p * page_tokens, (p + 1) * page_tokens) as [Hkv][page_tokens][D].
// Pages wholly before `first` may be null: nothing of them is read.
struct PagedView {
    void* const* pages;
    int64_t length;  // tokens
    int64_t first;   // earliest token kept
    int32_t page_tokens;
};

// Writes rows x[b][t][h][0..D) to tokens past + t of each sequence's pages (past = length - T).
struct AppendArgs {
    int64_t batch, tokens, heads, width;
    const float* x;
    int64_t x_batch, x_token, x_head;  // floats; the last axis is contiguous
    const PagedView* views;            // [batch]
    KvType type;
};
void cache_append(Isa isa, const AppendArgs& args, const Parallel& parallel);

}  // namespace orrery::flt
