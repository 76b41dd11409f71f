// Portable C++: the kernels of machines that have no file of their own, written so that a compiler can vectorise the lane loops.
#include "half.hpp"
#include "kernel_macros.hpp"
#include "kernel_table.hpp"

namespace orrery::quant {
namespace {

constexpr int kLanes = 8;
struct VI {
    int32_t lane[kLanes];
};
struct VF {
    float lane[kLanes];
};
constexpr int kWideZero = 128;
constexpr int kStripRows = 1;
constexpr int kStripTokens = 4;
constexpr int kStripTokens2 = 2;
constexpr int kDirectTokens = 1;
constexpr int kDirectMost = 2;
constexpr int kFloatTokens = 4;
constexpr int kPrefetchBytes = 1024;

ORR_INLINE void prefetch(const void* address) { __builtin_prefetch(address); }

template <typename F>
ORR_INLINE VI each_i(F make) {
    VI value;
    for (int i = 0; i < kLanes; ++i) value.lane[i] = make(i);
    return value;
}
template <typename F>
ORR_INLINE VF each_f(F make) {
    VF value;
    for (int i = 0; i < kLanes; ++i) value.lane[i] = make(i);
    return value;
}
ORR_INLINE int32_t as_signed(uint32_t value) { return static_cast<int32_t>(value); }
ORR_INLINE uint32_t as_unsigned(int32_t value) { return static_cast<uint32_t>(value); }

ORR_INLINE VI splat_i32(int32_t value) {
    return each_i([=](int) { return value; });
}
ORR_INLINE VI zero_i() { return splat_i32(0); }
ORR_INLINE VF zero_f() {
    return each_f([](int) { return 0.0f; });
}
ORR_INLINE VI load_bytes(const void* src) {
    VI value;
    __builtin_memcpy(&value, src, sizeof value);
    return value;
}
ORR_INLINE void store_bytes(void* dst, VI value) { __builtin_memcpy(dst, &value, sizeof value); }
ORR_INLINE VI splat_byte(int value) { return splat_i32(as_signed(static_cast<uint8_t>(value) * 0x01010101u)); }
ORR_INLINE VI splat_4(const int8_t* src) {
    int32_t word;
    __builtin_memcpy(&word, src, sizeof word);
    return splat_i32(word);
}
// The table repeats every 16 bytes.
ORR_INLINE VI splat_16(const uint8_t* src) {
    uint32_t words[4];
    __builtin_memcpy(words, src, sizeof words);
    return each_i([&](int i) { return as_signed(words[i % 4]); });
}
ORR_INLINE VI and_bits(VI a, VI b) {
    return each_i([&](int i) { return a.lane[i] & b.lane[i]; });
}
ORR_INLINE VI or_bits(VI a, VI b) {
    return each_i([&](int i) { return a.lane[i] | b.lane[i]; });
}
ORR_INLINE VI add_i32(VI a, VI b) {
    return each_i([&](int i) { return a.lane[i] + b.lane[i]; });
}
ORR_INLINE VI sub_i32(VI a, VI b) {
    return each_i([&](int i) { return a.lane[i] - b.lane[i]; });
}
// Fields are masked inside their byte afterwards, so 32-bit shifts serve as 16-bit ones.
template <int kBits>
ORR_INLINE VI shift_right_16(VI value) {
    return each_i([&](int i) { return as_signed(as_unsigned(value.lane[i]) >> kBits); });
}
template <int kBits>
ORR_INLINE VI shift_left_16(VI value) {
    return each_i([&](int i) { return as_signed(as_unsigned(value.lane[i]) << kBits); });
}
template <int kIndex>
ORR_INLINE VI byte_of(VI value) {
    return each_i([&](int i) { return as_signed((as_unsigned(value.lane[i]) >> (kIndex * 8)) & 255u); });
}
ORR_INLINE VI lookup_16(VI table, VI index) {
    uint8_t values[16], codes[sizeof(VI)];
    __builtin_memcpy(values, &table, sizeof values);
    __builtin_memcpy(codes, &index, sizeof codes);
    for (uint8_t& code : codes) code = values[code & 15];
    return load_bytes(codes);
}
ORR_INLINE VI wide_operand(VI codes) { return codes; }
ORR_INLINE VI dot_small(VI acc, VI codes, VI x) {
    return each_i([&](int i) {
        const uint32_t w = as_unsigned(codes.lane[i]);
        const uint32_t a = as_unsigned(x.lane[i]);
        int32_t sum = acc.lane[i];
        for (int shift = 0; shift < 32; shift += 8) sum += as_signed((w >> shift) & 255u) * static_cast<int8_t>(a >> shift);
        return sum;
    });
}
ORR_INLINE VI dot_wide(VI acc, VI codes, VI x) { return dot_small(acc, codes, x); }
ORR_INLINE VF to_float(VI value) {
    return each_f([&](int i) { return static_cast<float>(value.lane[i]); });
}
ORR_INLINE VF load_f(const float* src) {
    return each_f([=](int i) { return src[i]; });
}
ORR_INLINE void store_f(float* dst, VF value) {
    for (int i = 0; i < kLanes; ++i) dst[i] = value.lane[i];
}
ORR_INLINE VF splat_f(const float* src) {
    const float value = *src;
    return each_f([=](int) { return value; });
}
ORR_INLINE VF add(VF a, VF b) {
    return each_f([&](int i) { return a.lane[i] + b.lane[i]; });
}
ORR_INLINE VF sub(VF a, VF b) {
    return each_f([&](int i) { return a.lane[i] - b.lane[i]; });
}
ORR_INLINE VF mul(VF a, VF b) {
    return each_f([&](int i) { return a.lane[i] * b.lane[i]; });
}
ORR_INLINE VF fma(VF a, VF b, VF c) {
    return each_f([&](int i) { return a.lane[i] * b.lane[i] + c.lane[i]; });
}
ORR_INLINE VF fnma(VF a, VF b, VF c) {
    return each_f([&](int i) { return c.lane[i] - a.lane[i] * b.lane[i]; });
}
ORR_INLINE VF load_f16(const uint8_t* src) {
    return each_f([=](int i) { return f16_to_f32(load_u16(src + 2 * i)); });
}
ORR_INLINE VF load_bf16(const uint8_t* src) {
    return each_f([=](int i) { return bf16_to_f32(load_u16(src + 2 * i)); });
}
ORR_INLINE VF load_u8(const uint8_t* src) {
    return each_f([=](int i) { return static_cast<float>(src[i]); });
}
ORR_INLINE VF load_s8(const uint8_t* src) {
    return each_f([=](int i) { return static_cast<float>(static_cast<int8_t>(src[i])); });
}
ORR_INLINE VF load_e8m0_half(const uint8_t* src) {
    return each_f([=](int i) { return e8m0_half_to_f32(src[i]); });
}

ORR_INLINE float peak_magnitude_32(const float* src) {
    uint32_t peak = 0;
    for (int i = 0; i < 32; ++i) {
        uint32_t bits;
        __builtin_memcpy(&bits, src + i, sizeof bits);
        bits &= 0x7FFFFFFFu;
        if (bits > peak) peak = bits;
    }
    float value;
    __builtin_memcpy(&value, &peak, sizeof value);
    return value;
}

// Adding 1.5 * 2^23 leaves the integer, rounded to nearest even, in the low mantissa bits. A NaN gives -128, as the saturating SIMD forms do.
ORR_INLINE void round_to_int8_32(const float* src, float inverse, int8_t* codes) {
    for (int i = 0; i < 32; ++i) {
        const float value = src[i] * inverse;
        const float rounded = (value + 12582912.0f) - 12582912.0f;
        codes[i] = rounded >= -127.0f ? static_cast<int8_t>(rounded) : static_cast<int8_t>(-128);
    }
}

#include "kernel_body.hpp"

}  // namespace

const KernelTable& scalar_kernels() { return kTable; }

}  // namespace orrery::quant
