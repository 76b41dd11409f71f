// bf16 weights times activations rounded to bf16: AVX512_BF16 (Intel Cooper Lake and later, AMD Zen 4 and later). Two columns in one instruction,
// sums in f32 in the order of k for every number of tokens; the instruction treats denormals as zero.
#include <immintrin.h>

#include "kernel_macros.hpp"
#include "kernel_table.hpp"

namespace orrery::quant {
namespace {

constexpr int kTokens = 6;
constexpr int kTiles = 2;
constexpr int kColumns = 512;  // of a panel: its weights stay in the first cache for all tokens

struct Part {
    const uint8_t* w[kTiles];     // first column of each tile
    const uint16_t* x[kTokens];   // bf16
    float* dst[kTokens];
    int64_t lanes;                // rows left from the first tile on
    const float* bias;            // with the last panel
    int pairs;
    bool first;
};

ORR_INLINE __mmask16 lane_mask(int64_t lanes) { return lanes >= 16 ? 0xFFFF : lanes <= 0 ? 0 : static_cast<__mmask16>((1u << lanes) - 1); }

// A tile keeps 16 rows of column k, then 16 of k + 1; the instruction wants both columns of a row side by side.
ORR_INLINE __m512i pair_order() {
    alignas(64) uint16_t order[32];
    for (int r = 0; r < 16; ++r) {
        order[2 * r] = static_cast<uint16_t>(r);
        order[2 * r + 1] = static_cast<uint16_t>(r + 16);
    }
    return _mm512_load_si512(order);
}

template <int kTileCount, int kTokenCount>
ORR_NOINLINE void product_part(const Part& part) {
    const __m512i order = pair_order();
    __m512 acc[kTokenCount][kTileCount];
    for (int t = 0; t < kTokenCount; ++t) {
        for (int v = 0; v < kTileCount; ++v)
            acc[t][v] = part.first ? _mm512_setzero_ps() : _mm512_maskz_loadu_ps(lane_mask(part.lanes - v * kTileRows), part.dst[t] + v * kTileRows);
    }
    for (int p = 0; p < part.pairs; ++p) {
        __m512bh w[kTileCount];
        for (int v = 0; v < kTileCount; ++v) {
            _mm_prefetch(reinterpret_cast<const char*>(part.w[v]) + p * 64 + 2048, _MM_HINT_T0);
            w[v] = (__m512bh)_mm512_permutexvar_epi16(order, _mm512_loadu_si512(part.w[v] + p * 64));
        }
        for (int t = 0; t < kTokenCount; ++t) {
            int32_t two;
            __builtin_memcpy(&two, part.x[t] + 2 * p, sizeof two);
            const __m512bh x = (__m512bh)_mm512_set1_epi32(two);
            for (int v = 0; v < kTileCount; ++v) acc[t][v] = _mm512_dpbf16_ps(acc[t][v], w[v], x);
        }
    }
    for (int t = 0; t < kTokenCount; ++t) {
        for (int v = 0; v < kTileCount; ++v) {
            const __mmask16 mask = lane_mask(part.lanes - v * kTileRows);
            if (part.bias) acc[t][v] = _mm512_add_ps(acc[t][v], _mm512_maskz_loadu_ps(mask, part.bias + v * kTileRows));
            _mm512_mask_storeu_ps(part.dst[t] + v * kTileRows, mask, acc[t][v]);
        }
    }
}

template <int kTileCount>
ORR_INLINE void product_tokens(const Part& part, int tokens) {
    static_assert(kTokens == 6, "add the cases");
    switch (tokens) {
        case 1: return product_part<kTileCount, 1>(part);
        case 2: return product_part<kTileCount, 2>(part);
        case 3: return product_part<kTileCount, 3>(part);
        case 4: return product_part<kTileCount, 4>(part);
        case 5: return product_part<kTileCount, 5>(part);
        case 6: return product_part<kTileCount, 6>(part);
    }
}

ORR_INLINE void round_to_bf16(const float* src, int count, uint16_t* dst) {
    for (int k = 0; k < count; k += 16) {
        const __m256bh two = _mm512_cvtneps_pbh(_mm512_maskz_loadu_ps(lane_mask(count - k), src + k));
        _mm256_storeu_si256(reinterpret_cast<__m256i*>(dst + k), (__m256i)two);
    }
}

}  // namespace

void avx512bf16_product(const FloatCall& call) {
    alignas(64) uint16_t rounded[kTokens][kColumns];
    const int64_t bytes = tile_bytes(spec_of(Format::kBf16), call.stored_cols);
    for (int64_t tile = call.tile_begin; tile < call.tile_end; tile += kTiles) {
        const int64_t n = tile * kTileRows;
        for (int64_t first = 0; first < call.cols; first += kColumns) {
            const int count = static_cast<int>(call.cols - first < kColumns ? call.cols - first : kColumns);
            Part part;
            part.pairs = count / 2;
            part.first = first == 0;
            part.lanes = call.rows - n;
            part.bias = call.bias && first + count == call.cols ? call.bias + n : nullptr;
            for (int i = 0; i < kTiles; ++i) part.w[i] = call.packed + (tile + i) * bytes + first * kTileRows * 2;
            for (int64_t token = 0; token < call.tokens; token += kTokens) {
                const int tokens = static_cast<int>(call.tokens - token < kTokens ? call.tokens - token : kTokens);
                for (int t = 0; t < tokens; ++t) {
                    const int64_t row = call.row_index ? call.row_index[token + t] : token + t;
                    round_to_bf16(call.x + row * call.x_stride + first, count, rounded[t]);
                    part.x[t] = rounded[t];
                    part.dst[t] = call.dst + (token + t) * call.dst_stride + n;
                }
                if (call.tile_end - tile >= kTiles) product_tokens<kTiles>(part, tokens);
                else product_tokens<1>(part, tokens);
            }
        }
    }
}

}  // namespace orrery::quant
