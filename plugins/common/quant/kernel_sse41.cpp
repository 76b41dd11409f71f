// SSE4.1 with SSSE3: any x86-64 of the last fifteen years. No FMA: fma() is a product and a sum, rounded twice.
#include <smmintrin.h>

#include "kernel_macros.hpp"
#include "kernel_table.hpp"

namespace orrery::quant {
namespace {

using VI = __m128i;
using VF = __m128;
constexpr int kLanes = 4;
constexpr int kWideZero = 0;  // wide codes become signed
constexpr int kStripRows = 2;
constexpr int kStripTokens = 3;
constexpr int kStripTokens2 = 2;
constexpr int kDirectTokens = 1;
constexpr int kDirectMost = 2;
constexpr int kFloatTokens = 4;
constexpr int kPrefetchBytes = 1024;

ORR_INLINE void prefetch(const void* address) { _mm_prefetch(static_cast<const char*>(address), _MM_HINT_T0); }
ORR_INLINE VI zero_i() { return _mm_setzero_si128(); }
ORR_INLINE VF zero_f() { return _mm_setzero_ps(); }
ORR_INLINE VI load_bytes(const void* src) { return _mm_loadu_si128(static_cast<const __m128i*>(src)); }
ORR_INLINE void store_bytes(void* dst, VI value) { _mm_storeu_si128(static_cast<__m128i*>(dst), value); }
ORR_INLINE VI splat_byte(int value) { return _mm_set1_epi8(static_cast<char>(value)); }
ORR_INLINE VI splat_i32(int32_t value) { return _mm_set1_epi32(value); }
ORR_INLINE VI splat_4(const int8_t* src) {
    int32_t word;
    __builtin_memcpy(&word, src, sizeof word);
    return _mm_set1_epi32(word);
}
ORR_INLINE VI splat_16(const uint8_t* src) { return load_bytes(src); }
ORR_INLINE VI and_bits(VI a, VI b) { return _mm_and_si128(a, b); }
ORR_INLINE VI or_bits(VI a, VI b) { return _mm_or_si128(a, b); }
ORR_INLINE VI add_i32(VI a, VI b) { return _mm_add_epi32(a, b); }
ORR_INLINE VI sub_i32(VI a, VI b) { return _mm_sub_epi32(a, b); }
template <int kBits>
ORR_INLINE VI shift_right_16(VI value) {
    return _mm_srli_epi16(value, kBits);
}
template <int kBits>
ORR_INLINE VI shift_left_16(VI value) {
    return _mm_slli_epi16(value, kBits);
}
template <int kIndex>
ORR_INLINE VI byte_of(VI value) {
    return _mm_and_si128(_mm_srli_epi32(value, kIndex * 8), _mm_set1_epi32(255));
}
ORR_INLINE VI lookup_16(VI table, VI index) { return _mm_shuffle_epi8(table, index); }
ORR_INLINE VI wide_operand(VI codes) { return _mm_xor_si128(codes, splat_byte(-128)); }
// Sums of two products must fit 16 bits: see kernel_ops_avx2.hpp.
ORR_INLINE VI dot_small(VI acc, VI codes, VI x) { return _mm_add_epi32(acc, _mm_madd_epi16(_mm_maddubs_epi16(codes, x), _mm_set1_epi16(1))); }
ORR_INLINE VI dot_wide(VI acc, VI codes, VI x) { return dot_small(acc, _mm_abs_epi8(codes), _mm_sign_epi8(x, codes)); }
ORR_INLINE VF to_float(VI value) { return _mm_cvtepi32_ps(value); }
ORR_INLINE VF load_f(const float* src) { return _mm_loadu_ps(src); }
ORR_INLINE void store_f(float* dst, VF value) { _mm_storeu_ps(dst, value); }
ORR_INLINE VF splat_f(const float* src) { return _mm_set1_ps(*src); }
ORR_INLINE VF add(VF a, VF b) { return _mm_add_ps(a, b); }
ORR_INLINE VF sub(VF a, VF b) { return _mm_sub_ps(a, b); }
ORR_INLINE VF mul(VF a, VF b) { return _mm_mul_ps(a, b); }
ORR_INLINE VF fma(VF a, VF b, VF c) { return _mm_add_ps(_mm_mul_ps(a, b), c); }
ORR_INLINE VF fnma(VF a, VF b, VF c) { return _mm_sub_ps(c, _mm_mul_ps(a, b)); }

ORR_INLINE VI load_u16(const uint8_t* src) { return _mm_cvtepu16_epi32(_mm_loadl_epi64(reinterpret_cast<const __m128i*>(src))); }

ORR_INLINE VF load_bf16(const uint8_t* src) { return _mm_castsi128_ps(_mm_slli_epi32(load_u16(src), 16)); }

// The half's exponent and mantissa, moved to their places in an f32, are the value times 2^-112: exact, subnormals too, unless the processor
// flushes them, so the factor is applied in two steps only where the half is subnormal: as an integer times 2^-24.
ORR_INLINE VF load_f16(const uint8_t* src) {
    const VI half = load_u16(src);
    const VI magnitude = _mm_and_si128(half, _mm_set1_epi32(0x7FFF));
    const VI sign = _mm_slli_epi32(_mm_and_si128(half, _mm_set1_epi32(0x8000)), 16);
    const VI normal = _mm_add_epi32(_mm_slli_epi32(magnitude, 13), _mm_set1_epi32(112 << 23));
    const VI special = _mm_or_si128(_mm_slli_epi32(magnitude, 13), _mm_set1_epi32(0x7F800000));
    const VI tiny = _mm_castps_si128(_mm_mul_ps(_mm_cvtepi32_ps(magnitude), _mm_set1_ps(0x1p-24f)));
    VI bits = _mm_blendv_epi8(normal, special, _mm_cmpgt_epi32(magnitude, _mm_set1_epi32(0x7BFF)));
    bits = _mm_blendv_epi8(bits, tiny, _mm_cmplt_epi32(magnitude, _mm_set1_epi32(0x0400)));
    return _mm_castsi128_ps(_mm_or_si128(bits, sign));
}

ORR_INLINE VI load_4(const uint8_t* src) {
    int32_t word;
    __builtin_memcpy(&word, src, sizeof word);
    return _mm_cvtsi32_si128(word);
}
ORR_INLINE VF load_u8(const uint8_t* src) { return to_float(_mm_cvtepu8_epi32(load_4(src))); }
ORR_INLINE VF load_s8(const uint8_t* src) { return to_float(_mm_cvtepi8_epi32(load_4(src))); }
ORR_INLINE VF load_e8m0_half(const uint8_t* src) {
    const VI exponent = _mm_cvtepu8_epi32(load_4(src));
    const VI normal = _mm_slli_epi32(_mm_sub_epi32(exponent, _mm_set1_epi32(1)), 23);
    // exponents 0 and 1: 0x00200000 and twice that
    const VI tiny = _mm_slli_epi32(_mm_add_epi32(exponent, _mm_set1_epi32(1)), 21);
    return _mm_castsi128_ps(_mm_blendv_epi8(normal, tiny, _mm_cmplt_epi32(exponent, _mm_set1_epi32(2))));
}

ORR_INLINE float peak_magnitude_32(const float* src) {
    const VI mask = _mm_set1_epi32(0x7FFFFFFF);
    VI peak = _mm_and_si128(load_bytes(src), mask);
    for (int i = 4; i < 32; i += 4) peak = _mm_max_epi32(peak, _mm_and_si128(load_bytes(src + i), mask));
    peak = _mm_max_epi32(peak, _mm_shuffle_epi32(peak, 0x4E));
    peak = _mm_max_epi32(peak, _mm_shuffle_epi32(peak, 0xB1));
    return _mm_cvtss_f32(_mm_castsi128_ps(peak));
}

ORR_INLINE void round_to_int8_32(const float* src, float inverse, int8_t* codes) {
    const VF factor = _mm_set1_ps(inverse);
    for (int i = 0; i < 32; i += 16) {
        VI part[4];
        for (int j = 0; j < 4; ++j) part[j] = _mm_cvtps_epi32(_mm_mul_ps(_mm_loadu_ps(src + i + 4 * j), factor));
        store_bytes(codes + i, _mm_packs_epi16(_mm_packs_epi32(part[0], part[1]), _mm_packs_epi32(part[2], part[3])));
    }
}

#include "kernel_body.hpp"

}  // namespace

const KernelTable& sse41_kernels() { return kTable; }

}  // namespace orrery::quant
