// softmax(scale q k^T) v, in tiles: the T x S scores never exist as a whole.
// Dao et al. 2022, arXiv:2205.14135 (tiles, running maximum); Milakov & Gimelshein 2018, arXiv:1805.02867 (online softmax).
#pragma once

#include <cstddef>
#include <cstdint>

#include "float/isa.hpp"
#include "float/kv_cache.hpp"
#include "float/parallel.hpp"

namespace orrery::flt {

// Keys or values: either `data` with strides in floats (last axis contiguous), or `views`, one a batch row.
struct KvSource {
    const float* data = nullptr;
    int64_t batch = 0, token = 0, head = 0;
    const PagedView* views = nullptr;
    KvType type = KvType::f32;
};

// dst[b, t, h] = sum_s p[s] v[b, s, h / G] / sum_s p[s],  p = exp(score - max),  G = H / Hkv
// score = cap(scale q[b, t, h] . k[b, s, h / G]) + bias[b % bias_batches, h, t, s],  cap(x) = softcap tanh(x / softcap)
// over the visible s: p - back <= s <= p + ahead, key_mask[b, s] != 0, s >= first; p = length - T + t is the query's position.
// A row that sees no key, or -inf alone, takes the mean of all values (what a softmax over equal, very low scores gives).
struct AttentionArgs {
    int64_t batch, tokens, keys, heads, kv_heads, width, value_width;  // keys: S, the most of any sequence
    const float* q;
    int64_t q_batch, q_token, q_head;
    KvSource k, v;
    float* dst;
    int64_t dst_batch, dst_token, dst_head;
    float scale = 1.0f;
    int64_t back = -1, ahead = -1;  // -1: no limit. Causal: ahead 0; causal window w: back w - 1
    float softcap = 0.0f;           // 0: none
    const float* bias = nullptr;
    int64_t bias_batches = 1, bias_batch = 0, bias_head = 0, bias_token = 0;
    const uint8_t* key_mask = nullptr;  // [B, S], 0 hides
    int64_t mask_batch = 0;
};

// For any shapes up to these. threads as Parallel has them.
size_t attention_workspace_bytes(const AttentionArgs& args, int threads);

// Bits of a row depend on its own query, keys and instruction set: not on the other rows, T, the batch, threads or tiles.
// Keys are taken in runs of 512 from key 0, each run with its own maximum and sums, the runs merged in order; with few query rows
// the runs go to different threads.
void attention(Isa isa, const AttentionArgs& args, void* workspace, const Parallel& parallel);

}  // namespace orrery::flt
