// Row kernels of attention and of the cache, one table per instruction set. Internal to the library.
#pragma once

#include <cstdint>

#include "float/isa.hpp"
#include "float/kv_cache.hpp"

namespace orrery::flt {

// Turns one row of scores into exp(score - m) and brings its running maximum, sum and accumulator up to date.
struct SoftmaxRow {
    float* scores;         // [width], width a multiple of 16
    int64_t width;
    int64_t lo, hi;        // the visible part; what lies outside becomes 0
    const float* bias;     // [hi] or null, added after the cap
    const float* penalty;  // [hi] or null: 0 or -inf, added last
    float softcap;
    float* m;
    float* l;
    float* acc;            // [value_width], scaled when the maximum rises
    int64_t value_width;
};

struct AttentionKernels {
    Isa isa;
    void (*softmax_row)(const SoftmaxRow& row);
    // Run 2 (m2, l2, acc2) into the total (m, l, acc).
    void (*merge)(float* m, float* l, float* acc, float m2, float l2, const float* acc2, int64_t n);
    void (*scale)(const float* x, float factor, float* y, int64_t n);
    void (*load)(KvType type, const void* src, float* dst, int64_t n);
    void (*store)(KvType type, const float* src, void* dst, int64_t n);
};

const AttentionKernels& attention_kernels(Isa isa);

}  // namespace orrery::flt
