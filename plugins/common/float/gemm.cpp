#include "float/gemm.hpp"

#include <algorithm>
#include <cstring>

#include "float/tile_kernels.hpp"

namespace orrery::flt {
namespace {

// Blocking for 1 MB of L2 a core: 256 rows of a k block (520 KB) stay there while panels stream past; each panel pair of a
// block (64 KB at most) is read from L2 or L1 once per 12 rows.
constexpr int64_t kMaxRows = 256;
constexpr int64_t kWholeK = 1024;  // up to here k is not cut
constexpr int64_t kCutK = 512;
constexpr int64_t kRowPad = 16;    // keeps copied rows off each other's cache sets
constexpr int64_t kPartialFloats = 192 * kMaxRows;
constexpr int64_t kFewRows = 12;   // one register tile: nothing is reused, so nothing is copied
constexpr int64_t kColumnUnit = 2;
constexpr int64_t kFinishRows = 96;  // whole sums of so many rows and a panel pair leave through the epilogue while in L1
constexpr int64_t kFilledRows = 96;  // rows that a source makes are made once per column part: fewer rows, all columns

int64_t panels_of(int64_t n) { return ceil_div(n, kPanel); }

int64_t k_block(int64_t rows, int64_t k, bool filled) { return (rows <= kFewRows && !filled) || k <= kWholeK ? k : kCutK; }

// Floats of one thread's slice: copied rows, then partial sums.
int64_t copy_floats(int64_t rows, int64_t k) { return rows * (std::min(k, kWholeK) + kRowPad); }
int64_t slice_floats(int64_t t, int64_t k) { return copy_floats(std::min(t, kMaxRows), k) + kPartialFloats; }

// Panels that a chunk of `rows` rows may hold partial sums for.
int64_t panel_limit(int64_t rows) { return kPartialFloats / (std::max<int64_t>(rows, 1) * kPanel) / kColumnUnit * kColumnUnit; }

struct Job {
    const GemmArgs& args;
    const TileKernels& tiles;
    const VectorKernels& vectors;
    Partition split;
    float* workspace;
    int64_t slice;

    void finish(const float* c, int64_t ldc, Range rows, Range panels) const {
        const Epilogue& e = args.epilogue;
        const int64_t n0 = panels.begin * kPanel, columns = std::min(panels.end * kPanel, args.n) - n0;
        const float* bias = e.bias == nullptr ? nullptr : e.bias + n0;
        const float* residual = e.residual == nullptr ? nullptr : e.residual + rows.begin * e.residual_stride + n0;
        vectors.epilogue(e, {c, ldc, bias, residual, args.dst + rows.begin * args.dst_row + n0 * args.dst_col, args.dst_row, args.dst_col,
                             rows.end - rows.begin, columns});
    }

    void run(int64_t chunk, int thread) const {
        const Range rows = part_of(args.t, split.row_parts, chunk / split.col_parts);
        const int64_t units = ceil_div(panels_of(args.n), kColumnUnit);
        Range panels = part_of(units, split.col_parts, chunk % split.col_parts);
        panels = {panels.begin * kColumnUnit, std::min(panels.end * kColumnUnit, panels_of(args.n))};
        const int64_t count = rows.end - rows.begin, kc = k_block(count, args.k, args.rows.fill != nullptr);
        float* copied = workspace + thread * slice;
        float* partial = copied + copy_floats(std::min(args.t, kMaxRows), args.k);
        const bool copies = args.rows.fill != nullptr || kc < args.k;
        // An uncut k needs partial sums for a few panels only: they leave through the epilogue while in L1.
        const int64_t group = kc < args.k ? panels.end - panels.begin
                              : count <= kFewRows ? std::min<int64_t>(panel_limit(count), 64)
                                                  : tiles.tile_panels;
        const int64_t step = kc < args.k ? count : kFinishRows;
        const int64_t w_k = args.w_k ? args.w_k : args.k;
        const int64_t ldc = std::min(group, panels.end - panels.begin) * kPanel;
        for (int64_t k0 = 0; k0 < args.k || k0 == 0; k0 += kc) {
            const int64_t k1 = std::min(k0 + kc, args.k);
            const float* a = args.x == nullptr ? nullptr : args.x + rows.begin * args.ldx + k0;
            int64_t lda = args.ldx;
            if (copies) {
                lda = k1 - k0 + kRowPad;
                if (args.rows.fill != nullptr) args.rows.fill(args.rows.self, rows.begin, rows.end, k0, k1, copied, lda);
                else
                    for (int64_t r = 0; r < count; ++r) std::memcpy(copied + r * lda, a + r * args.ldx, static_cast<size_t>(k1 - k0) * sizeof(float));
                a = copied;
            }
            for (int64_t p = panels.begin; p < panels.end; p += group) {
                const int64_t p1 = std::min(p + group, panels.end);
                for (int64_t r = 0; r < count; r += step) {
                    const int64_t r1 = std::min(r + step, count);
                    float* c = kc < args.k ? partial + r * ldc : partial;
                    tiles.tile({a + r * lda, lda, args.w + (p * w_k + k0) * kPanel, w_k * kPanel, kPanel, k1 - k0, c + (kc < args.k ? (p - panels.begin) * kPanel : 0), ldc,
                                static_cast<int32_t>(r1 - r), static_cast<int32_t>(p1 - p), k0 > 0});
                    if (k1 == args.k) finish(c, ldc, {rows.begin + r, rows.begin + r1}, {p, p1});
                }
            }
            if (args.k == 0) break;
        }
    }
};

}  // namespace

size_t gemm_packed_bytes(int64_t n, int64_t k) { return static_cast<size_t>(panels_of(n) * k * kPanel) * sizeof(float); }

void gemm_pack(Isa isa, const float* w, int64_t n, int64_t k, int64_t ld, WeightOrder order, float* dst, const Parallel& parallel) {
    const TileKernels& tiles = tile_kernels(isa);
    parallel_for(parallel, panels_of(n), [&](int64_t p, int) {
        const int64_t n0 = p * kPanel, columns = std::min<int64_t>(kPanel, n - n0);
        float* panel = dst + n0 * k;
        if (order == WeightOrder::rows) return tiles.pack_rows(w + n0 * ld, ld, columns, k, panel);
        for (int64_t i = 0; i < k; ++i)
            for (int64_t j = 0; j < kPanel; ++j) panel[i * kPanel + j] = j < columns ? w[i * ld + n0 + j] : 0.0f;
    });
}

size_t gemm_workspace_bytes(int64_t t, int64_t n, int64_t k, int threads) {
    return t == 0 || n == 0 ? 0 : static_cast<size_t>(slice_floats(t, k) * threads) * sizeof(float);
}

Partition gemm_partition(int64_t t, int64_t n, int64_t k, int threads, bool filled) {
    const int64_t units = std::max<int64_t>(ceil_div(panels_of(n), kColumnUnit), 1);
    const int64_t row_parts = std::max<int64_t>(ceil_div(t, filled ? kFilledRows : kMaxRows), 1);
    const int64_t rows = ceil_div(t, row_parts);
    // Enough chunks that a thread which is late holds nobody up for long, none under ~2 MFLOP or half a megabyte of weights.
    const int64_t wanted = threads > 1 ? ceil_div(4 * threads, row_parts) : 1;
    const int64_t by_work = std::max<int64_t>({2 * t * n * k / row_parts / 2000000, n * k / 131072, 1});
    const int64_t by_memory = k > kWholeK ? ceil_div(units * kColumnUnit, panel_limit(rows)) : 1;
    return {row_parts, std::clamp<int64_t>(std::max(std::min(wanted, by_work), by_memory), 1, units)};
}

namespace {

// A chunk of matmul: up to kMaxRows rows by kMatmulColumns columns of one matrix of the batch.
constexpr int64_t kMatmulColumns = 128;
constexpr int64_t kMatmulSlice = kMatmulColumns * (kCutK + kMaxRows);

struct MatmulJob {
    const MatmulArgs& args;
    const TileKernels& tiles;
    const VectorKernels& vectors;
    int64_t row_parts, col_parts;
    float* workspace;

    // Rows k0..k1 of one panel; columns beyond N are zeros.
    void pack(const float* b, int64_t n0, int64_t k0, int64_t k1, float* dst) const {
        const int64_t columns = std::min<int64_t>(kPanel, args.n - n0);
        if (args.b_row == 1) return tiles.pack_rows(b + n0 * args.b_col + k0, args.b_col, columns, k1 - k0, dst);
        for (int64_t i = k0; i < k1; ++i)
            for (int64_t j = 0; j < kPanel; ++j) *dst++ = j < columns ? b[i * args.b_row + (n0 + j) * args.b_col] : 0.0f;
    }

    void run(int64_t chunk, int thread) const {
        const int64_t col = chunk % col_parts, row = chunk / col_parts % row_parts, batch = chunk / col_parts / row_parts;
        const int64_t b0 = batch / args.batch1, b1 = batch % args.batch1;
        const float* a = args.a + b0 * args.a_batch0 + b1 * args.a_batch1;
        const float* b = args.b + b0 * args.b_batch0 + b1 * args.b_batch1;
        float* dst = args.dst + b0 * args.dst_batch0 + b1 * args.dst_batch1;
        const Range rows = part_of(args.m, row_parts, row);
        const int64_t n0 = col * kMatmulColumns, n1 = std::min(n0 + kMatmulColumns, args.n), count = rows.end - rows.begin;
        const int64_t whole = args.b_col == 1 ? (n1 - n0) / kPanel : 0, panels = panels_of(n1 - n0);
        float* packed = workspace + thread * kMatmulSlice;
        float* partial = packed + kMatmulColumns * kCutK;
        const int64_t ldc = panels * kPanel;
        const auto rows32 = static_cast<int32_t>(count);
        for (int64_t k0 = 0; k0 == 0 || k0 < args.k; k0 += kCutK) {
            const int64_t k1 = std::min(k0 + kCutK, args.k);
            const float* ak = a + rows.begin * args.a_row + k0;
            if (whole > 0)
                tiles.tile({ak, args.a_row, b + k0 * args.b_row + n0, kPanel, args.b_row, k1 - k0, partial, ldc, rows32, static_cast<int32_t>(whole), k0 > 0});
            if (whole == panels) continue;
            const int64_t stride = (k1 - k0) * kPanel;
            for (int64_t p = whole; p < panels; ++p) pack(b, n0 + p * kPanel, k0, k1, packed + (p - whole) * stride);
            tiles.tile({ak, args.a_row, packed, stride, kPanel, k1 - k0, partial + whole * kPanel, ldc, rows32, static_cast<int32_t>(panels - whole), k0 > 0});
        }
        Epilogue e;
        e.scale = args.scale;
        vectors.epilogue(e, {partial, ldc, nullptr, nullptr, dst + rows.begin * args.dst_row + n0, args.dst_row, 1, count, n1 - n0});
    }
};

}  // namespace

size_t matmul_workspace_bytes(int64_t m, int64_t n, int64_t k, int threads) {
    (void)k;
    return m == 0 || n == 0 ? 0 : static_cast<size_t>(kMatmulSlice * threads) * sizeof(float);
}

void matmul(Isa isa, const MatmulArgs& args, void* workspace, const Parallel& parallel) {
    if (args.m == 0 || args.n == 0 || args.batch0 * args.batch1 == 0) return;
    const MatmulJob job{args, tile_kernels(isa), vector_kernels(isa), ceil_div(args.m, kMaxRows), ceil_div(args.n, kMatmulColumns),
                        static_cast<float*>(workspace)};
    parallel_for(parallel, args.batch0 * args.batch1 * job.row_parts * job.col_parts, [&](int64_t chunk, int thread) { job.run(chunk, thread); });
}

void gemm(Isa isa, const GemmArgs& args, void* workspace, const Parallel& parallel) {
    if (args.t == 0 || args.n == 0) return;
    const Partition split = gemm_partition(args.t, args.n, args.k, parallel.threads, args.rows.fill != nullptr);
    const Job job{args, tile_kernels(isa), vector_kernels(isa), split, static_cast<float*>(workspace), slice_floats(args.t, args.k)};
    parallel_for(parallel, split.row_parts * split.col_parts, [&](int64_t chunk, int thread) { job.run(chunk, thread); });
}

}  // namespace orrery::flt
