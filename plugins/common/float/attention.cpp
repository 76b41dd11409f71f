#include "float/attention.hpp"

#include <algorithm>
#include <cstring>
#include <limits>

#include "float/attention_kernels.hpp"
#include "float/tile_kernels.hpp"

namespace orrery::flt {
namespace {

constexpr int64_t kRunKeys = 512;   // keys with one maximum of their own
constexpr int64_t kTileKeys = 128;  // keys packed at a time
constexpr int64_t kTileRows = 192;  // query rows that share a packed tile
constexpr int64_t kFewTokens = 8;   // up to here runs of keys go to different threads
constexpr int64_t kAheadKeys = 32;  // how far cached keys are asked for in advance
constexpr int64_t kSmallProducts = 256 * 1024;  // multiply-adds not worth waking threads for
constexpr float kInf = std::numeric_limits<float>::infinity();

// Sizes that follow from the arguments.
struct Shape {
    int64_t group;        // query heads per key head
    int64_t rows;         // query rows of one key head: T * group
    int64_t tiles;        // tiles of those rows
    int64_t tile_rows;    // the most rows of a tile
    int64_t runs;         // runs of keys spread over threads; 1: a chunk takes all of them
    int64_t value_pad;    // Dv rounded up to whole panels
    int64_t partial_row;  // floats of one row's partial result
};

Shape shape_of(const AttentionArgs& a, int threads) {
    Shape s{};
    s.group = a.heads / std::max<int64_t>(a.kv_heads, 1);
    s.rows = a.tokens * s.group;
    s.runs = a.tokens <= kFewTokens ? std::max<int64_t>(ceil_div(a.keys, kRunKeys), 1) : 1;
    s.tiles = std::max<int64_t>(ceil_div(s.rows, kTileRows), 1);
    const int64_t units = std::max<int64_t>(a.batch * a.kv_heads, 1);
    if (s.runs == 1 && threads > 1) {  // finer where the heads alone do not feed the threads
        const int64_t wanted = ceil_div(4 * threads, units), most = std::max<int64_t>(s.rows / 48, 1);
        s.tiles = std::max(s.tiles, std::min(wanted, most));
    }
    s.tile_rows = ceil_div(s.rows, s.tiles);
    s.value_pad = round_up(a.value_width, kPanel);
    s.partial_row = s.value_pad + kPanel;
    return s;
}

// One thread's workspace: twelve arrays, each rounded up to 64 bytes.
struct Slice {
    float *q, *scores, *local, *total, *m, *l, *total_m, *total_l, *keys, *raw, *values, *penalty;

    static constexpr int kArrays = 12;
    static void sizes(int64_t rows, int64_t width, int64_t value_pad, int64_t (&n)[kArrays]) {
        const int64_t wanted[kArrays] = {rows * width, rows * kTileKeys, rows * value_pad, rows * value_pad, rows, rows, rows, rows,
                                         kTileKeys * width, kPanel * width, kTileKeys * value_pad, kTileKeys};
        for (int i = 0; i < kArrays; ++i) n[i] = round_up(wanted[i], kPanel);
    }
    static int64_t floats(int64_t rows, int64_t width, int64_t value_pad) {
        int64_t n[kArrays], total = 0;
        sizes(rows, width, value_pad, n);
        for (const int64_t v : n) total += v;
        return total;
    }
    Slice(float* base, int64_t rows, int64_t width, int64_t value_pad) {
        int64_t n[kArrays];
        sizes(rows, width, value_pad, n);
        float** const arrays[kArrays] = {&q, &scores, &local, &total, &m, &l, &total_m, &total_l, &keys, &raw, &values, &penalty};
        for (int i = 0; i < kArrays; ++i) {
            *arrays[i] = base;
            base += n[i];
        }
    }
};

int64_t slice_floats(const AttentionArgs& a, int64_t rows) { return Slice::floats(std::min(rows, kTileRows), a.width, round_up(a.value_width, kPanel)); }

struct Job {
    const AttentionArgs& a;
    const Shape& s;
    const TileKernels& tiles;
    const AttentionKernels& kernels;
    float* slices;
    int64_t slice;
    float* partials;

    int64_t length(int64_t b) const { return a.k.views != nullptr ? a.k.views[b].length : a.keys; }
    int64_t first(int64_t b) const { return a.k.views != nullptr ? a.k.views[b].first : 0; }
    Range visible(int64_t b, int64_t t) const {
        const int64_t n = length(b), p = n - a.tokens + t;
        const int64_t lo = std::clamp<int64_t>(a.back < 0 ? 0 : p - a.back, std::min(first(b), n), n);
        const int64_t hi = a.ahead < 0 ? n : std::clamp<int64_t>(p + a.ahead + 1, 0, n);
        return {lo, std::max(lo, hi)};
    }
    Range rows_of(int64_t tile) const { return part_of(s.rows, s.tiles, tile); }

    // Token `key` of a source as f32; zeros before the earliest one kept.
    void load_row(const KvSource& from, int64_t b, int64_t head, int64_t key, int64_t n, float* dst) const {
        if (from.views == nullptr) {
            std::memcpy(dst, from.data + b * from.batch + key * from.token + head * from.head, static_cast<size_t>(n) * sizeof(float));
            return;
        }
        const PagedView& view = from.views[b];
        if (key < view.first) {
            std::memset(dst, 0, static_cast<size_t>(n) * sizeof(float));
            return;
        }
        const auto* page = static_cast<const unsigned char*>(view.pages[key / view.page_tokens]);
        const int64_t at = head * view.page_tokens + key % view.page_tokens;
        kernels.load(from.type, page + at * static_cast<int64_t>(kv_row_bytes(from.type, n)), dst, n);
    }

    // Asks for a cached token that will be read soon: pages are too short for the hardware to run ahead in.
    void expect_row(const KvSource& from, int64_t b, int64_t head, int64_t key, int64_t n) const {
        const PagedView& view = from.views[b];
        if (key < view.first || key >= view.length) return;
        const int64_t bytes = static_cast<int64_t>(kv_row_bytes(from.type, n)), at = head * view.page_tokens + key % view.page_tokens;
        const auto* row = static_cast<const unsigned char*>(view.pages[key / view.page_tokens]) + at * bytes;
        for (int64_t i = 0; i < bytes; i += 64) __builtin_prefetch(row + i, 0, 2);
    }

    void pack_keys(const Slice& ws, int64_t b, int64_t head, Range keys) const {
        for (int64_t key = keys.begin, panel = 0; key < keys.end; key += kPanel, ++panel) {
            float* dst = ws.keys + panel * kPanel * a.width;
            const int64_t count = std::min<int64_t>(kPanel, keys.end - key);
            if (a.k.views == nullptr && count == kPanel) {
                tiles.pack_rows(a.k.data + b * a.k.batch + key * a.k.token + head * a.k.head, a.k.token, count, a.width, dst);
                continue;
            }
            for (int64_t j = 0; j < count; ++j) {
                if (a.k.views != nullptr) {
                    expect_row(a.k, b, head, key + j + kAheadKeys, a.width);
                    expect_row(a.v, b, head, key + j, a.value_width);
                }
                load_row(a.k, b, head, key + j, a.width, ws.raw + j * a.width);
            }
            std::memset(ws.raw + count * a.width, 0, static_cast<size_t>((kPanel - count) * a.width) * sizeof(float));
            tiles.pack_rows(ws.raw, a.width, kPanel, a.width, dst);
        }
    }

    // Adds one tile of keys to the local maximum, sum and accumulator of every row.
    void add_tile(const Slice& ws, int64_t b, int64_t head, Range rows, Range keys) const {
        const int64_t count = keys.end - keys.begin, panels = ceil_div(count, kPanel);
        const auto n = static_cast<int32_t>(rows.end - rows.begin);
        pack_keys(ws, b, head, keys);
        const float* penalty = a.key_mask == nullptr ? nullptr : ws.penalty;
        if (penalty != nullptr)
            for (int64_t j = 0; j < count; ++j) ws.penalty[j] = a.key_mask[b * a.mask_batch + keys.begin + j] == 0 ? -kInf : 0.0f;
        tiles.tile({ws.q, a.width, ws.keys, kPanel * a.width, kPanel, a.width, ws.scores, kTileKeys, n, static_cast<int32_t>(panels), false});
        for (int64_t r = rows.begin; r < rows.end; ++r) {
            const int64_t t = r / s.group, h = head * s.group + r % s.group, i = r - rows.begin;
            const Range seen = visible(b, t);
            const float* bias = a.bias == nullptr ? nullptr : a.bias + (b % a.bias_batches) * a.bias_batch + h * a.bias_head + t * a.bias_token + keys.begin;
            kernels.softmax_row({ws.scores + i * kTileKeys, panels * kPanel, std::clamp<int64_t>(seen.begin - keys.begin, 0, count),
                                 std::clamp<int64_t>(seen.end - keys.begin, 0, count), bias,
                                 penalty, a.softcap, ws.m + i, ws.l + i,
                                 ws.local + i * s.value_pad, s.value_pad});
        }
        // Copied even where they could be read in place: rows of a fused projection lie kilobytes apart and share a few cache sets.
        for (int64_t j = 0; j < count; ++j) {
            float* row = ws.values + j * s.value_pad;
            load_row(a.v, b, head, keys.begin + j, a.value_width, row);
            std::memset(row + a.value_width, 0, static_cast<size_t>(s.value_pad - a.value_width) * sizeof(float));
        }
        tiles.tile({ws.scores, kTileKeys, ws.values, kPanel, s.value_pad, count, ws.local, s.value_pad, n, static_cast<int32_t>(s.value_pad / kPanel), true});
    }

    // One run of keys for a tile of rows, into ws.local / m / l.
    void add_run(const Slice& ws, int64_t b, int64_t head, Range rows, int64_t run) const {
        const int64_t n = rows.end - rows.begin;
        std::memset(ws.local, 0, static_cast<size_t>(n * s.value_pad) * sizeof(float));
        std::fill_n(ws.m, n, -kInf);
        std::fill_n(ws.l, n, 0.0f);
        // Limits rise with t: the first row sees furthest back, the last furthest ahead.
        const int64_t lo = visible(b, rows.begin / s.group).begin, hi = visible(b, (rows.end - 1) / s.group).end;
        const int64_t begin = run * kRunKeys, end = std::min(begin + kRunKeys, hi);
        for (int64_t key = begin; key < end; key += kTileKeys)
            if (key + kTileKeys > lo) add_tile(ws, b, head, rows, {key, std::min(key + kTileKeys, end)});
    }

    void load_queries(const Slice& ws, int64_t b, int64_t head, Range rows) const {
        for (int64_t r = rows.begin; r < rows.end; ++r) {
            const int64_t t = r / s.group, h = head * s.group + r % s.group;
            kernels.scale(a.q + b * a.q_batch + t * a.q_token + h * a.q_head, a.scale, ws.q + (r - rows.begin) * a.width, a.width);
        }
    }

    void write_row(int64_t b, int64_t head, int64_t r, float l, const float* acc) const {
        const int64_t t = r / s.group, h = head * s.group + r % s.group;
        float* dst = a.dst + b * a.dst_batch + t * a.dst_token + h * a.dst_head;
        if (l != 0.0f) return kernels.scale(acc, 1.0f / l, dst, a.value_width);
        mean_of_values(b, head, dst);
    }

    // No key seen: every one counts the same.
    void mean_of_values(int64_t b, int64_t head, float* dst) const {
        const int64_t lo = first(b), hi = length(b);
        std::memset(dst, 0, static_cast<size_t>(a.value_width) * sizeof(float));
        float block[32];
        for (int64_t key = lo; key < hi; ++key) {
            if (a.v.views == nullptr || a.v.type == KvType::f32) {
                const float* row = value_pointer(b, head, key);
                for (int64_t i = 0; i < a.value_width; ++i) dst[i] += row[i];
                continue;
            }
            const auto* row = reinterpret_cast<const unsigned char*>(value_pointer(b, head, key));
            for (int64_t i = 0; i < a.value_width; i += 32) {
                const int64_t n = std::min<int64_t>(32, a.value_width - i);
                kernels.load(a.v.type, row + kv_row_bytes(a.v.type, i), block, n);
                for (int64_t j = 0; j < n; ++j) dst[i + j] += block[j];
            }
        }
        if (hi > lo)
            for (int64_t i = 0; i < a.value_width; ++i) dst[i] /= static_cast<float>(hi - lo);
    }
    const float* value_pointer(int64_t b, int64_t head, int64_t key) const {
        if (a.v.views == nullptr) return a.v.data + b * a.v.batch + key * a.v.token + head * a.v.head;
        const PagedView& view = a.v.views[b];
        const auto* page = static_cast<const unsigned char*>(view.pages[key / view.page_tokens]);
        const int64_t at = head * view.page_tokens + key % view.page_tokens;
        return reinterpret_cast<const float*>(page + at * static_cast<int64_t>(kv_row_bytes(a.v.type, a.value_width)));
    }

    // A tile of query rows against all its keys.
    void run_whole(int64_t unit, int64_t tile, int thread) const {
        const int64_t b = unit / a.kv_heads, head = unit % a.kv_heads;
        const Range rows = rows_of(tile);
        const Slice ws(slices + thread * slice, s.tile_rows, a.width, s.value_pad);
        const int64_t n = rows.end - rows.begin;
        load_queries(ws, b, head, rows);
        const int64_t lo = visible(b, rows.begin / s.group).begin, hi = visible(b, (rows.end - 1) / s.group).end;
        const int64_t run0 = lo / kRunKeys, run1 = std::max(ceil_div(hi, kRunKeys), run0 + 1);
        add_run(ws, b, head, rows, run0);
        if (run1 == run0 + 1) {
            for (int64_t i = 0; i < n; ++i) write_row(b, head, rows.begin + i, ws.l[i], ws.local + i * s.value_pad);
            return;
        }
        std::memcpy(ws.total, ws.local, static_cast<size_t>(n * s.value_pad) * sizeof(float));
        std::memcpy(ws.total_m, ws.m, static_cast<size_t>(n) * sizeof(float));
        std::memcpy(ws.total_l, ws.l, static_cast<size_t>(n) * sizeof(float));
        for (int64_t run = run0 + 1; run < run1; ++run) {
            add_run(ws, b, head, rows, run);
            for (int64_t i = 0; i < n; ++i)
                kernels.merge(ws.total_m + i, ws.total_l + i, ws.total + i * s.value_pad, ws.m[i], ws.l[i], ws.local + i * s.value_pad, s.value_pad);
        }
        for (int64_t i = 0; i < n; ++i) write_row(b, head, rows.begin + i, ws.total_l[i], ws.total + i * s.value_pad);
    }

    // Partial results lie as [unit][run][row][acc, m, l].
    float* partial(int64_t unit, int64_t run, int64_t row) const { return partials + ((unit * s.runs + run) * s.rows + row) * s.partial_row; }

    void run_part(int64_t unit, int64_t tile, int64_t run, int thread) const {
        const int64_t b = unit / a.kv_heads, head = unit % a.kv_heads;
        const Range rows = rows_of(tile);
        const Slice ws(slices + thread * slice, s.tile_rows, a.width, s.value_pad);
        load_queries(ws, b, head, rows);
        add_run(ws, b, head, rows, run);
        for (int64_t r = rows.begin; r < rows.end; ++r) {
            const int64_t i = r - rows.begin;
            float* p = partial(unit, run, r);
            std::memcpy(p, ws.local + i * s.value_pad, static_cast<size_t>(s.value_pad) * sizeof(float));
            p[s.value_pad] = ws.m[i];
            p[s.value_pad + 1] = ws.l[i];
        }
    }

    void merge_runs(int64_t unit) const {
        const int64_t b = unit / a.kv_heads, head = unit % a.kv_heads;
        for (int64_t r = 0; r < s.rows; ++r) {
            float* p = partial(unit, 0, r);
            float *m = p + s.value_pad, *l = m + 1;
            for (int64_t run = 1; run < s.runs; ++run) {
                const float* next = partial(unit, run, r);
                kernels.merge(m, l, p, next[s.value_pad], next[s.value_pad + 1], next, s.value_pad);
            }
            write_row(b, head, r, *l, p);
        }
    }
};

}  // namespace

size_t attention_workspace_bytes(const AttentionArgs& a, int threads) {
    AttentionArgs few = a;
    few.tokens = std::min(a.tokens, kFewTokens);
    const Shape s = shape_of(few, threads);
    const int64_t rows = a.tokens * s.group;
    const int64_t partials = s.runs > 1 ? a.batch * a.kv_heads * s.runs * s.rows * s.partial_row : 0;
    return static_cast<size_t>(slice_floats(a, rows) * threads + partials) * sizeof(float);
}

void attention(Isa isa, const AttentionArgs& given, void* workspace, const Parallel& parallel) {
    if (given.batch == 0 || given.tokens == 0 || given.heads == 0) return;
    AttentionArgs a = given;
    if (a.k.views != nullptr) {  // what is there, not what there is room for
        a.keys = 0;
        for (int64_t b = 0; b < a.batch; ++b) a.keys = std::max(a.keys, a.k.views[b].length);
    }
    const bool small = a.batch * a.tokens * a.heads * a.keys * (a.width + a.value_width) <= kSmallProducts;
    const Parallel threads = small ? serial() : parallel;
    const Shape s = shape_of(a, threads.threads);
    const int64_t slice = slice_floats(a, s.rows), units = a.batch * a.kv_heads;
    float* slices = static_cast<float*>(workspace);
    const Job job{a, s, tile_kernels(isa), attention_kernels(isa), slices, slice, slices + slice * threads.threads};
    if (s.runs > 1) {
        const int64_t per_unit = s.tiles * s.runs;
        parallel_for(threads, units * per_unit,
                     [&](int64_t c, int thread) { job.run_part(c / per_unit, c % per_unit / s.runs, c % s.runs, thread); });
        const int64_t groups = std::min<int64_t>(units, threads.threads);
        parallel_for(threads, groups, [&](int64_t c, int) {
            const Range range = part_of(units, groups, c);
            for (int64_t unit = range.begin; unit < range.end; ++unit) job.merge_runs(unit);
        });
        return;
    }
    // Small problems (windows of 49 tokens) go several to a chunk.
    const int64_t all = units * s.tiles, chunks = std::min<int64_t>(all, threads.threads == 1 ? 1 : 8 * threads.threads);
    parallel_for(threads, chunks, [&](int64_t c, int thread) {
        const Range range = part_of(all, chunks, c);
        for (int64_t i = range.begin; i < range.end; ++i) job.run_whole(i / s.tiles, i % s.tiles, thread);
    });
}

}  // namespace orrery::flt
