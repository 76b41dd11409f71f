// AVX-512 (F, BW, DQ, VL) with VNNI: Intel Ice Lake and later, AMD Zen 4 and later.
#include <immintrin.h>

#include "kernel_macros.hpp"
#include "kernel_table.hpp"

namespace orrery::quant {
namespace {

using VI = __m512i;
using VF = __m512;
constexpr int kLanes = 16;
constexpr int kWideZero = 128;  // wide codes stay unsigned
constexpr int kStripRows = 2;
constexpr int kStripTokens = 6;
constexpr int kStripTokens2 = 4;
constexpr int kDirectTokens = 4;
constexpr int kDirectMost = 8;
constexpr int kFloatTokens = 6;
constexpr int kPrefetchBytes = 4096;

ORR_INLINE void prefetch(const void* address) { _mm_prefetch(static_cast<const char*>(address), _MM_HINT_T0); }
ORR_INLINE VI zero_i() { return _mm512_setzero_si512(); }
ORR_INLINE VF zero_f() { return _mm512_setzero_ps(); }
ORR_INLINE VI load_bytes(const void* src) { return _mm512_loadu_si512(src); }
ORR_INLINE void store_bytes(void* dst, VI value) { _mm512_storeu_si512(dst, value); }
ORR_INLINE VI splat_byte(int value) { return _mm512_set1_epi8(static_cast<char>(value)); }
ORR_INLINE VI splat_i32(int32_t value) { return _mm512_set1_epi32(value); }
ORR_INLINE VI splat_4(const int8_t* src) {
    int32_t word;
    __builtin_memcpy(&word, src, sizeof word);
    return _mm512_set1_epi32(word);
}
ORR_INLINE VI splat_16(const uint8_t* src) { return _mm512_broadcast_i32x4(_mm_loadu_si128(reinterpret_cast<const __m128i*>(src))); }
ORR_INLINE VI and_bits(VI a, VI b) { return _mm512_and_si512(a, b); }
ORR_INLINE VI or_bits(VI a, VI b) { return _mm512_or_si512(a, b); }
ORR_INLINE VI add_i32(VI a, VI b) { return _mm512_add_epi32(a, b); }
ORR_INLINE VI sub_i32(VI a, VI b) { return _mm512_sub_epi32(a, b); }
template <int kBits>
ORR_INLINE VI shift_right_16(VI value) {
    return _mm512_srli_epi16(value, kBits);
}
template <int kBits>
ORR_INLINE VI shift_left_16(VI value) {
    return _mm512_slli_epi16(value, kBits);
}
template <int kIndex>
ORR_INLINE VI byte_of(VI value) {
    return _mm512_and_si512(_mm512_srli_epi32(value, kIndex * 8), _mm512_set1_epi32(255));
}
ORR_INLINE VI lookup_16(VI table, VI index) { return _mm512_shuffle_epi8(table, index); }
ORR_INLINE VI wide_operand(VI codes) { return codes; }
ORR_INLINE VI dot_small(VI acc, VI codes, VI x) { return _mm512_dpbusd_epi32(acc, codes, x); }
ORR_INLINE VI dot_wide(VI acc, VI codes, VI x) { return _mm512_dpbusd_epi32(acc, codes, x); }
ORR_INLINE VF to_float(VI value) { return _mm512_cvtepi32_ps(value); }
ORR_INLINE VF load_f(const float* src) { return _mm512_loadu_ps(src); }
ORR_INLINE void store_f(float* dst, VF value) { _mm512_storeu_ps(dst, value); }
ORR_INLINE VF splat_f(const float* src) { return _mm512_set1_ps(*src); }
ORR_INLINE VF add(VF a, VF b) { return _mm512_add_ps(a, b); }
ORR_INLINE VF sub(VF a, VF b) { return _mm512_sub_ps(a, b); }
ORR_INLINE VF mul(VF a, VF b) { return _mm512_mul_ps(a, b); }
ORR_INLINE VF fma(VF a, VF b, VF c) { return _mm512_fmadd_ps(a, b, c); }
ORR_INLINE VF fnma(VF a, VF b, VF c) { return _mm512_fnmadd_ps(a, b, c); }
ORR_INLINE VF load_f16(const uint8_t* src) { return _mm512_cvtph_ps(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(src))); }
ORR_INLINE VF load_bf16(const uint8_t* src) {
    return _mm512_castsi512_ps(_mm512_slli_epi32(_mm512_cvtepu16_epi32(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(src))), 16));
}
ORR_INLINE VF load_u8(const uint8_t* src) { return to_float(_mm512_cvtepu8_epi32(_mm_loadu_si128(reinterpret_cast<const __m128i*>(src)))); }
ORR_INLINE VF load_s8(const uint8_t* src) { return to_float(_mm512_cvtepi8_epi32(_mm_loadu_si128(reinterpret_cast<const __m128i*>(src)))); }
ORR_INLINE VF load_e8m0_half(const uint8_t* src) {
    const VI exponent = _mm512_cvtepu8_epi32(_mm_loadu_si128(reinterpret_cast<const __m128i*>(src)));
    const VI normal = _mm512_slli_epi32(_mm512_sub_epi32(exponent, _mm512_set1_epi32(1)), 23);
    const VI tiny = _mm512_sllv_epi32(_mm512_set1_epi32(0x00200000), exponent);
    return _mm512_castsi512_ps(_mm512_mask_mov_epi32(normal, _mm512_cmplt_epi32_mask(exponent, _mm512_set1_epi32(2)), tiny));
}

ORR_INLINE float peak_magnitude_32(const float* src) {
    const VI mask = _mm512_set1_epi32(0x7FFFFFFF);
    const VI low = _mm512_and_si512(_mm512_loadu_si512(src), mask);
    const VI high = _mm512_and_si512(_mm512_loadu_si512(src + 16), mask);
    const int32_t bits = _mm512_reduce_max_epi32(_mm512_max_epi32(low, high));
    float peak;
    __builtin_memcpy(&peak, &bits, sizeof peak);
    return peak;
}

ORR_INLINE void round_to_int8_32(const float* src, float inverse, int8_t* codes) {
    const VF factor = _mm512_set1_ps(inverse);
    const __m128i low = _mm512_cvtsepi32_epi8(_mm512_cvtps_epi32(_mm512_mul_ps(_mm512_loadu_ps(src), factor)));
    const __m128i high = _mm512_cvtsepi32_epi8(_mm512_cvtps_epi32(_mm512_mul_ps(_mm512_loadu_ps(src + 16), factor)));
    _mm_storeu_si128(reinterpret_cast<__m128i*>(codes), low);
    _mm_storeu_si128(reinterpret_cast<__m128i*>(codes + 16), high);
}

#include "kernel_body.hpp"

}  // namespace

const KernelTable& avx512vnni_kernels() { return kTable; }

}  // namespace orrery::quant
