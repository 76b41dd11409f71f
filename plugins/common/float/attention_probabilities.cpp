#include "float/attention_probabilities.hpp"

#include <algorithm>
#include <cstring>
#include <limits>

#include "float/attention_kernels.hpp"
#include "float/tile_kernels.hpp"
#include "float/vector_kernels.hpp"

namespace orrery::flt {
namespace {

constexpr int64_t kTileKeys = 128;  // keys packed at a time
constexpr int64_t kTileRows = 48;   // query rows that share them
constexpr float kInf = std::numeric_limits<float>::infinity();

// One thread's workspace, in floats.
struct Slice {
    float *q, *scores, *keys, *raw;
    static int64_t floats(int64_t width) { return kTileRows * width + kTileRows * kTileKeys + kTileKeys * width + kPanel * width; }
    Slice(float* base, int64_t width) : q(base), scores(q + kTileRows * width), keys(scores + kTileRows * kTileKeys), raw(keys + kTileKeys * width) {}
};

struct Job {
    const AttentionArgs& a;
    const TileKernels& tiles;
    const AttentionKernels& kernels;
    const VectorKernels& vectors;
    int64_t group, rows;  // query heads per key head; query rows of one key head: T * group

    int64_t length(int64_t b) const { return a.k.views != nullptr ? a.k.views[b].length : a.keys; }
    int64_t first(int64_t b) const { return a.k.views != nullptr ? std::min(a.k.views[b].first, length(b)) : 0; }
    Range visible(int64_t b, int64_t t) const {
        const int64_t n = length(b), p = n - a.tokens + t;
        const int64_t lo = std::clamp<int64_t>(a.back < 0 ? 0 : p - a.back, first(b), n);
        const int64_t hi = a.ahead < 0 ? n : std::clamp<int64_t>(p + a.ahead + 1, 0, n);
        return {lo, std::max(lo, hi)};
    }
    float* row_of(int64_t b, int64_t head, int64_t r) const { return a.dst + b * a.dst_batch + (head * group + r % group) * a.dst_head + r / group * a.dst_token; }

    void load_key(int64_t b, int64_t head, int64_t key, float* dst) const {
        if (a.k.views == nullptr) {
            std::memcpy(dst, a.k.data + b * a.k.batch + key * a.k.token + head * a.k.head, static_cast<size_t>(a.width) * sizeof(float));
            return;
        }
        const PagedView& view = a.k.views[b];
        const auto* page = static_cast<const unsigned char*>(view.pages[key / view.page_tokens]);
        const int64_t at = head * view.page_tokens + key % view.page_tokens;
        kernels.load(a.k.type, page + at * static_cast<int64_t>(kv_row_bytes(a.k.type, a.width)), dst, a.width);
    }

    // Products of a tile of rows with the keys from `key` on, `count` of them, into their rows.
    void add_keys(const Slice& ws, int64_t b, int64_t head, Range tile, int64_t key, int64_t count) const {
        const int64_t panels = ceil_div(count, kPanel);
        for (int64_t panel = 0; panel < panels; ++panel) {
            const int64_t here = std::min<int64_t>(kPanel, count - panel * kPanel);
            for (int64_t j = 0; j < here; ++j) load_key(b, head, key + panel * kPanel + j, ws.raw + j * a.width);
            std::memset(ws.raw + here * a.width, 0, static_cast<size_t>((kPanel - here) * a.width) * sizeof(float));
            tiles.pack_rows(ws.raw, a.width, kPanel, a.width, ws.keys + panel * kPanel * a.width);
        }
        const auto n = static_cast<int32_t>(tile.end - tile.begin);
        tiles.tile({ws.q, a.width, ws.keys, kPanel * a.width, kPanel, a.width, ws.scores, kTileKeys, n, static_cast<int32_t>(panels), false});
        for (int64_t r = tile.begin; r < tile.end; ++r)
            std::memcpy(row_of(b, head, r) + key, ws.scores + (r - tile.begin) * kTileKeys, static_cast<size_t>(count) * sizeof(float));
    }

    // Products become probabilities, in place.
    void finish(int64_t b, int64_t head, int64_t r) const {
        const int64_t t = r / group, h = head * group + r % group;
        const Range seen = visible(b, t);
        float* const row = row_of(b, head, r);
        float* const x = row + seen.begin;
        const int64_t n = seen.end - seen.begin;
        if (a.softcap != 0.0f && n > 0) {
            kernels.scale(x, 1.0f / a.softcap, x, n);
            vectors.unary(Unary::tanh, x, x, n);
            kernels.scale(x, a.softcap, x, n);
        }
        if (a.bias != nullptr) {
            const float* bias = a.bias + (b % a.bias_batches) * a.bias_batch + h * a.bias_head + t * a.bias_token + seen.begin;
            for (int64_t i = 0; i < n; ++i) x[i] += bias[i];
        }
        if (a.key_mask != nullptr) {
            const uint8_t* mask = a.key_mask + b * a.mask_batch + seen.begin;
            for (int64_t i = 0; i < n; ++i) x[i] = mask[i] == 0 ? -kInf : x[i];
        }
        std::fill(row, x, 0.0f);
        std::fill(x + n, row + a.keys, 0.0f);
        if (!std::all_of(x, x + n, [](float v) { return v == -kInf; })) {
            vectors.softmax(x, x, n);
            if (a.key_mask != nullptr) {  // hidden whatever the rest is
                const uint8_t* mask = a.key_mask + b * a.mask_batch + seen.begin;
                for (int64_t i = 0; i < n; ++i) x[i] = mask[i] == 0 ? 0.0f : x[i];
            }
            return;
        }
        const int64_t lo = first(b), hi = length(b);
        std::fill(row + lo, row + hi, hi > lo ? 1.0f / static_cast<float>(hi - lo) : 0.0f);
    }

    void run(int64_t unit, Range tile, float* workspace) const {
        const int64_t b = unit / a.kv_heads, head = unit % a.kv_heads;
        const Slice ws(workspace, a.width);
        for (int64_t r = tile.begin; r < tile.end; ++r) {
            const int64_t t = r / group, h = head * group + r % group;
            kernels.scale(a.q + b * a.q_batch + t * a.q_token + h * a.q_head, a.scale, ws.q + (r - tile.begin) * a.width, a.width);
        }
        // Limits rise with t: the first row sees furthest back, the last furthest ahead.
        const int64_t lo = visible(b, tile.begin / group).begin, hi = visible(b, (tile.end - 1) / group).end;
        for (int64_t key = lo; key < hi; key += kTileKeys) add_keys(ws, b, head, tile, key, std::min(kTileKeys, hi - key));
        for (int64_t r = tile.begin; r < tile.end; ++r) finish(b, head, r);
    }
};

}  // namespace

size_t attention_probabilities_workspace_bytes(const AttentionArgs& a, int threads) {
    return static_cast<size_t>(round_up(Slice::floats(a.width), kPanel) * std::max(threads, 1)) * sizeof(float);
}

void attention_probabilities(Isa isa, const AttentionArgs& a, void* workspace, const Parallel& parallel) {
    const int64_t group = a.heads / std::max<int64_t>(a.kv_heads, 1), rows = a.tokens * group, tiles = ceil_div(rows, kTileRows), units = a.batch * a.kv_heads * tiles;
    if (units <= 0 || a.keys <= 0) return;
    const Job job{a, tile_kernels(isa), attention_kernels(isa), vector_kernels(isa), group, rows};
    const int64_t slice = round_up(Slice::floats(a.width), kPanel);
    parallel_for(parallel, units, [&](int64_t unit, int thread) { job.run(unit / tiles, part_of(rows, tiles, unit % tiles), static_cast<float*>(workspace) + thread * slice); });
}

}  // namespace orrery::flt
