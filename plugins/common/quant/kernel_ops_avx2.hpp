// Vector operations of 256 bits, shared by kernel_avx2.cpp and kernel_avxvnni.cpp; included inside an unnamed namespace. The including file
// defines ORR_QUANT_VNNI as 0 or 1.

using VI = __m256i;
using VF = __m256;
constexpr int kLanes = 8;
constexpr int kStripRows = 2;
constexpr int kDirectTokens = 2;
constexpr int kDirectMost = 6;
constexpr int kPrefetchBytes = 2048;

ORR_INLINE void prefetch(const void* address) { _mm_prefetch(static_cast<const char*>(address), _MM_HINT_T0); }
ORR_INLINE VI zero_i() { return _mm256_setzero_si256(); }
ORR_INLINE VF zero_f() { return _mm256_setzero_ps(); }
ORR_INLINE VI load_bytes(const void* src) { return _mm256_loadu_si256(static_cast<const __m256i*>(src)); }
ORR_INLINE void store_bytes(void* dst, VI value) { _mm256_storeu_si256(static_cast<__m256i*>(dst), value); }
ORR_INLINE VI splat_byte(int value) { return _mm256_set1_epi8(static_cast<char>(value)); }
ORR_INLINE VI splat_i32(int32_t value) { return _mm256_set1_epi32(value); }
ORR_INLINE VI splat_4(const int8_t* src) {
    int32_t word;
    __builtin_memcpy(&word, src, sizeof word);
    return _mm256_set1_epi32(word);
}
ORR_INLINE VI splat_16(const uint8_t* src) { return _mm256_broadcastsi128_si256(_mm_loadu_si128(reinterpret_cast<const __m128i*>(src))); }
ORR_INLINE VI and_bits(VI a, VI b) { return _mm256_and_si256(a, b); }
ORR_INLINE VI or_bits(VI a, VI b) { return _mm256_or_si256(a, b); }
ORR_INLINE VI add_i32(VI a, VI b) { return _mm256_add_epi32(a, b); }
ORR_INLINE VI sub_i32(VI a, VI b) { return _mm256_sub_epi32(a, b); }
template <int kBits>
ORR_INLINE VI shift_right_16(VI value) {
    return _mm256_srli_epi16(value, kBits);
}
template <int kBits>
ORR_INLINE VI shift_left_16(VI value) {
    return _mm256_slli_epi16(value, kBits);
}
template <int kIndex>
ORR_INLINE VI byte_of(VI value) {
    return _mm256_and_si256(_mm256_srli_epi32(value, kIndex * 8), _mm256_set1_epi32(255));
}
ORR_INLINE VI lookup_16(VI table, VI index) { return _mm256_shuffle_epi8(table, index); }
#if ORR_QUANT_VNNI
constexpr int kWideZero = 128;  // wide codes stay unsigned
ORR_INLINE VI wide_operand(VI codes) { return codes; }
ORR_INLINE VI dot_small(VI acc, VI codes, VI x) { return _mm256_dpbusd_avx_epi32(acc, codes, x); }
ORR_INLINE VI dot_wide(VI acc, VI codes, VI x) { return _mm256_dpbusd_avx_epi32(acc, codes, x); }
#else
constexpr int kWideZero = 0;  // wide codes become signed
ORR_INLINE VI wide_operand(VI codes) { return _mm256_xor_si256(codes, splat_byte(-128)); }
// Sums of two products must fit 16 bits: small codes are at most 63, so |sum| <= 2 * 63 * 127.
ORR_INLINE VI dot_small(VI acc, VI codes, VI x) {
    return _mm256_add_epi32(acc, _mm256_madd_epi16(_mm256_maddubs_epi16(codes, x), _mm256_set1_epi16(1)));
}
// |code| <= 128 and |x| <= 127: the sum is at most 2 * 128 * 127 = 32512.
ORR_INLINE VI dot_wide(VI acc, VI codes, VI x) { return dot_small(acc, _mm256_abs_epi8(codes), _mm256_sign_epi8(x, codes)); }
#endif
ORR_INLINE VF to_float(VI value) { return _mm256_cvtepi32_ps(value); }
ORR_INLINE VF load_f(const float* src) { return _mm256_loadu_ps(src); }
ORR_INLINE void store_f(float* dst, VF value) { _mm256_storeu_ps(dst, value); }
ORR_INLINE VF splat_f(const float* src) { return _mm256_broadcast_ss(src); }
ORR_INLINE VF add(VF a, VF b) { return _mm256_add_ps(a, b); }
ORR_INLINE VF sub(VF a, VF b) { return _mm256_sub_ps(a, b); }
ORR_INLINE VF mul(VF a, VF b) { return _mm256_mul_ps(a, b); }
ORR_INLINE VF fma(VF a, VF b, VF c) { return _mm256_fmadd_ps(a, b, c); }
ORR_INLINE VF fnma(VF a, VF b, VF c) { return _mm256_fnmadd_ps(a, b, c); }
ORR_INLINE VF load_f16(const uint8_t* src) { return _mm256_cvtph_ps(_mm_loadu_si128(reinterpret_cast<const __m128i*>(src))); }
ORR_INLINE VF load_bf16(const uint8_t* src) {
    return _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_cvtepu16_epi32(_mm_loadu_si128(reinterpret_cast<const __m128i*>(src))), 16));
}
ORR_INLINE VF load_u8(const uint8_t* src) { return to_float(_mm256_cvtepu8_epi32(_mm_loadl_epi64(reinterpret_cast<const __m128i*>(src)))); }
ORR_INLINE VF load_s8(const uint8_t* src) { return to_float(_mm256_cvtepi8_epi32(_mm_loadl_epi64(reinterpret_cast<const __m128i*>(src)))); }
ORR_INLINE VF load_e8m0_half(const uint8_t* src) {
    const VI exponent = _mm256_cvtepu8_epi32(_mm_loadl_epi64(reinterpret_cast<const __m128i*>(src)));
    const VI normal = _mm256_slli_epi32(_mm256_sub_epi32(exponent, _mm256_set1_epi32(1)), 23);
    const VI tiny = _mm256_sllv_epi32(_mm256_set1_epi32(0x00200000), exponent);
    return _mm256_castsi256_ps(_mm256_blendv_epi8(normal, tiny, _mm256_cmpgt_epi32(_mm256_set1_epi32(2), exponent)));
}

ORR_INLINE float peak_magnitude_32(const float* src) {
    const VI mask = _mm256_set1_epi32(0x7FFFFFFF);
    VI peak = _mm256_and_si256(load_bytes(src), mask);
    for (int i = 8; i < 32; i += 8) peak = _mm256_max_epi32(peak, _mm256_and_si256(load_bytes(src + i), mask));
    __m128i half = _mm_max_epi32(_mm256_castsi256_si128(peak), _mm256_extracti128_si256(peak, 1));
    half = _mm_max_epi32(half, _mm_shuffle_epi32(half, 0x4E));
    half = _mm_max_epi32(half, _mm_shuffle_epi32(half, 0xB1));
    return _mm_cvtss_f32(_mm_castsi128_ps(half));
}

ORR_INLINE void round_to_int8_32(const float* src, float inverse, int8_t* codes) {
    const VF factor = _mm256_set1_ps(inverse);
    VI part[4];
    for (int i = 0; i < 4; ++i) part[i] = _mm256_cvtps_epi32(_mm256_mul_ps(_mm256_loadu_ps(src + 8 * i), factor));
    const VI packed = _mm256_packs_epi16(_mm256_packs_epi32(part[0], part[1]), _mm256_packs_epi32(part[2], part[3]));
    store_bytes(codes, _mm256_permutevar8x32_epi32(packed, _mm256_setr_epi32(0, 4, 1, 5, 2, 6, 3, 7)));
}
