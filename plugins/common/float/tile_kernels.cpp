#include "float/targets.hpp"
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "float/tile_kernels.cpp"
#include "hwy/foreach_target.h"
#include "hwy/highway.h"

#include "float/tile_kernels.hpp"

HWY_BEFORE_NAMESPACE();
namespace orrery::flt {
namespace HWY_NAMESPACE {
namespace {

namespace hn = hwy::HWY_NAMESPACE;
using Tag = hn::CappedTag<float, 16>;
using Vec = hn::Vec<Tag>;
constexpr int kLanes = static_cast<int>(hn::MaxLanes(Tag()));
constexpr int kVecs = kPanel / kLanes;  // vectors of a panel row

// Registers: 24 accumulators of 32 (AVX-512, NEON), 12 of 16 (AVX2, SSE4).
#if HWY_TARGET == HWY_AVX3
constexpr int kRows = 12, kPanels = 2;
#elif HWY_TARGET == HWY_NEON || HWY_TARGET == HWY_AVX2
constexpr int kRows = 6, kPanels = 1;
#else
constexpr int kRows = 3, kPanels = 1;
#endif

template <int R, int P>
HWY_INLINE void micro_tile(const TileArgs& t, const float* HWY_RESTRICT a, const float* HWY_RESTRICT b, float* HWY_RESTRICT c) {
    constexpr Tag d;
    const int64_t lda = t.lda, ldb = t.ldb, ps = t.panel_stride;
    Vec acc[R][P * kVecs];
    ORR_UNROLL
    for (int r = 0; r < R; ++r) {
        ORR_UNROLL
        for (int v = 0; v < P * kVecs; ++v) acc[r][v] = t.accumulate ? hn::LoadU(d, c + r * t.ldc + v * kLanes) : hn::Zero(d);
    }
    for (int64_t k = 0; k < t.k; ++k) {
        Vec bv[P * kVecs];
        ORR_UNROLL
        for (int p = 0; p < P; ++p) {
            ORR_UNROLL
            for (int v = 0; v < kVecs; ++v) bv[p * kVecs + v] = hn::LoadU(d, b + p * ps + v * kLanes);
        }
        ORR_UNROLL
        for (int r = 0; r < R; ++r) {
            const Vec av = hn::Set(d, a[r * lda]);
            ORR_UNROLL
            for (int v = 0; v < P * kVecs; ++v) acc[r][v] = hn::MulAdd(av, bv[v], acc[r][v]);
        }
        b += ldb;
        ++a;
    }
    ORR_UNROLL
    for (int r = 0; r < R; ++r) {
        ORR_UNROLL
        for (int v = 0; v < P * kVecs; ++v) hn::StoreU(acc[r][v], d, c + r * t.ldc + v * kLanes);
    }
}

template <int P>
void row_block(const TileArgs& t, int rows, const float* a, const float* b, float* c) {
    switch (rows) {
        case 1: return micro_tile<1, P>(t, a, b, c);
        case 2: return micro_tile<2, P>(t, a, b, c);
        case 3: return micro_tile<3, P>(t, a, b, c);
#if HWY_TARGET == HWY_AVX3 || HWY_TARGET == HWY_AVX2 || HWY_TARGET == HWY_NEON
        case 4: return micro_tile<4, P>(t, a, b, c);
        case 5: return micro_tile<5, P>(t, a, b, c);
        case 6: return micro_tile<6, P>(t, a, b, c);
#endif
#if HWY_TARGET == HWY_AVX3
        case 7: return micro_tile<7, P>(t, a, b, c);
        case 8: return micro_tile<8, P>(t, a, b, c);
        case 9: return micro_tile<9, P>(t, a, b, c);
        case 10: return micro_tile<10, P>(t, a, b, c);
        case 11: return micro_tile<11, P>(t, a, b, c);
        case 12: return micro_tile<12, P>(t, a, b, c);
#endif
        default: return;
    }
}

// Few rows leave registers free: more panels at once keep enough chains in flight to hide the latency of the adds.
template <int R>
int few_rows(const TileArgs& t) {
    constexpr int kWide = HWY_MAX(1, (R == 1 ? 8 : 4) / kVecs);
    int p = 0;
    for (; p + kWide <= t.panels; p += kWide) micro_tile<R, kWide>(t, t.a, t.b + p * t.panel_stride, t.c + p * kPanel);
    return p;
}

void tile(const TileArgs& t) {
    int p = 0;
    if (t.rows == 1) p = few_rows<1>(t);
    else if (t.rows == 2) p = few_rows<2>(t);
#if HWY_TARGET == HWY_AVX3
    else if (t.rows == 3) p = few_rows<3>(t);
    else if (t.rows == 4) p = few_rows<4>(t);
    else if (t.rows == 5) p = few_rows<5>(t);
    else if (t.rows == 6) p = few_rows<6>(t);
#endif
    const int blocks = (t.rows + kRows - 1) / kRows;
    while (p < t.panels) {
        const int wide = HWY_MIN(kPanels, t.panels - p);
        const float* b = t.b + p * t.panel_stride;
        for (int i = 0; i < blocks; ++i) {  // equal blocks: 13 rows are 7 + 6, not 12 + 1
            const int64_t r0 = static_cast<int64_t>(t.rows) * i / blocks, r1 = static_cast<int64_t>(t.rows) * (i + 1) / blocks;
            const float* a = t.a + r0 * t.lda;
            float* c = t.c + r0 * t.ldc + p * kPanel;
            if (wide == 2) row_block<2>(t, static_cast<int>(r1 - r0), a, b, c);
            else row_block<1>(t, static_cast<int>(r1 - r0), a, b, c);
        }
        p += wide;
    }
}

#if HWY_TARGET == HWY_AVX3
// 16 rows of 16 floats to 16 columns: pairs, then fours within 128-bit lanes, then the lanes themselves.
HWY_INLINE void transpose16(const float* src, int64_t lds, float* dst) {
    __m512 r[16], t[16];
    ORR_UNROLL
    for (int i = 0; i < 16; ++i) r[i] = _mm512_loadu_ps(src + i * lds);
    ORR_UNROLL
    for (int i = 0; i < 16; i += 2) {
        t[i] = _mm512_unpacklo_ps(r[i], r[i + 1]);
        t[i + 1] = _mm512_unpackhi_ps(r[i], r[i + 1]);
    }
    ORR_UNROLL
    for (int i = 0; i < 16; i += 4) {
        const __m512d a = _mm512_castps_pd(t[i]), b = _mm512_castps_pd(t[i + 1]), c = _mm512_castps_pd(t[i + 2]), e = _mm512_castps_pd(t[i + 3]);
        r[i] = _mm512_castpd_ps(_mm512_unpacklo_pd(a, c));
        r[i + 1] = _mm512_castpd_ps(_mm512_unpackhi_pd(a, c));
        r[i + 2] = _mm512_castpd_ps(_mm512_unpacklo_pd(b, e));
        r[i + 3] = _mm512_castpd_ps(_mm512_unpackhi_pd(b, e));
    }
    ORR_UNROLL
    for (int i = 0; i < 4; ++i) {  // r[4g + i], lane l: column 4l + i of rows 4g..4g+3
        const __m512 ab0 = _mm512_shuffle_f32x4(r[i], r[4 + i], 0x88), ab1 = _mm512_shuffle_f32x4(r[i], r[4 + i], 0xdd);
        const __m512 cd0 = _mm512_shuffle_f32x4(r[8 + i], r[12 + i], 0x88), cd1 = _mm512_shuffle_f32x4(r[8 + i], r[12 + i], 0xdd);
        _mm512_storeu_ps(dst + (0 + i) * 16, _mm512_shuffle_f32x4(ab0, cd0, 0x88));
        _mm512_storeu_ps(dst + (8 + i) * 16, _mm512_shuffle_f32x4(ab0, cd0, 0xdd));
        _mm512_storeu_ps(dst + (4 + i) * 16, _mm512_shuffle_f32x4(ab1, cd1, 0x88));
        _mm512_storeu_ps(dst + (12 + i) * 16, _mm512_shuffle_f32x4(ab1, cd1, 0xdd));
    }
}
#elif HWY_TARGET != HWY_SCALAR
// Four rows of four floats at a time, in 128-bit vectors.
HWY_INLINE void transpose16(const float* src, int64_t lds, float* dst) {
    const hn::Full128<float> d;
    const hn::Full128<double> dd;
    for (int j = 0; j < 16; j += 4) {
        for (int k = 0; k < 16; k += 4) {
            const float* s = src + j * lds + k;
            const auto r0 = hn::LoadU(d, s), r1 = hn::LoadU(d, s + lds), r2 = hn::LoadU(d, s + 2 * lds), r3 = hn::LoadU(d, s + 3 * lds);
            const auto a = hn::BitCast(dd, hn::InterleaveLower(d, r0, r1)), b = hn::BitCast(dd, hn::InterleaveUpper(d, r0, r1));
            const auto c = hn::BitCast(dd, hn::InterleaveLower(d, r2, r3)), e = hn::BitCast(dd, hn::InterleaveUpper(d, r2, r3));
            hn::StoreU(hn::BitCast(d, hn::InterleaveLower(dd, a, c)), d, dst + k * 16 + j);
            hn::StoreU(hn::BitCast(d, hn::InterleaveUpper(dd, a, c)), d, dst + (k + 1) * 16 + j);
            hn::StoreU(hn::BitCast(d, hn::InterleaveLower(dd, b, e)), d, dst + (k + 2) * 16 + j);
            hn::StoreU(hn::BitCast(d, hn::InterleaveUpper(dd, b, e)), d, dst + (k + 3) * 16 + j);
        }
    }
}
#endif

void pack_rows(const float* src, int64_t lds, int64_t columns, int64_t k, float* dst) {
    int64_t i = 0;
#if HWY_TARGET != HWY_SCALAR
    if (columns == kPanel)
        for (; i + 16 <= k; i += 16) transpose16(src + i, lds, dst + i * kPanel);
#endif
    for (; i < k; ++i)
        for (int64_t j = 0; j < kPanel; ++j) dst[i * kPanel + j] = j < columns ? src[j * lds + i] : 0.0f;
}

}  // namespace

static const TileKernels* table() {
    static constexpr TileKernels kTable = {ORR_TARGET_ISA, kRows, kPanels, tile, pack_rows};
    return &kTable;
}

}  // namespace HWY_NAMESPACE
}  // namespace orrery::flt
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace orrery::flt {
namespace {
const TileKernels* pick(Isa isa) { ORR_PICK_TABLE(isa); }
}  // namespace
const TileKernels& tile_kernels(Isa isa) { return *pick(isa); }
}  // namespace orrery::flt
#endif
