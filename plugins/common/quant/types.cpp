#include "types.hpp"

#include <cmath>
#include <cstring>

#include "blocks.hpp"
#include "half.hpp"

namespace orrery::quant {
namespace {

constexpr int kSuper = 256;  // elements of a K-quant block

const uint8_t* bytes(const void* src) { return static_cast<const uint8_t*>(src); }

void dequantise_f32(const void* src, float* dst, int64_t elems) { std::memcpy(dst, src, static_cast<size_t>(elems) * sizeof(float)); }

void quantise_f32(const float* src, void* dst, int64_t elems) { std::memcpy(dst, src, static_cast<size_t>(elems) * sizeof(float)); }

template <float (*kConvert)(uint16_t)>
void dequantise_16bit(const void* src, float* dst, int64_t elems) {
    for (int64_t i = 0; i < elems; ++i) dst[i] = kConvert(load_u16(bytes(src) + 2 * i));
}

template <uint16_t (*kConvert)(float)>
void quantise_16bit(const float* src, void* dst, int64_t elems) {
    for (int64_t i = 0; i < elems; ++i) {
        const uint16_t value = kConvert(src[i]);
        std::memcpy(static_cast<uint8_t*>(dst) + 2 * i, &value, sizeof value);
    }
}

// w = d * (q - offset), or d * q + m: Q4_0 Q4_1 Q5_0 Q5_1.
template <int kBits, bool kHasMin>
void dequantise_legacy(const void* src, float* dst, int64_t elems) {
    constexpr int kScaleBytes = kHasMin ? 4 : 2;
    constexpr int kHighBytes = kBits == 5 ? 4 : 0;
    const uint8_t* block = bytes(src);
    uint8_t codes[32];
    for (int64_t done = 0; done < elems; done += 32, block += kScaleBytes + kHighBytes + 16, dst += 32) {
        nibbles_split_16(block + kScaleBytes + kHighBytes, codes);
        if (kBits == 5) add_fifth_bits(block + kScaleBytes, codes);
        const float d = f16_to_f32(load_u16(block));
        if (kHasMin) {
            const float m = f16_to_f32(load_u16(block + 2));
            for (int i = 0; i < 32; ++i) dst[i] = d * static_cast<float>(codes[i]) + m;
        } else {
            for (int i = 0; i < 32; ++i) dst[i] = d * static_cast<float>(codes[i] - (1 << (kBits - 1)));
        }
    }
}

void dequantise_q8_0(const void* src, float* dst, int64_t elems) {
    const uint8_t* block = bytes(src);
    for (int64_t done = 0; done < elems; done += 32, block += 34, dst += 32) {
        const float d = f16_to_f32(load_u16(block));
        for (int i = 0; i < 32; ++i) dst[i] = static_cast<float>(static_cast<int8_t>(block[2 + i])) * d;
    }
}

void dequantise_q2_k(const void* src, float* dst, int64_t elems) {
    const uint8_t* block = bytes(src);
    uint8_t codes[kSuper];
    for (int64_t done = 0; done < elems; done += kSuper, block += 84, dst += kSuper) {
        codes_2bit_256(block + 16, codes);
        const float d = f16_to_f32(load_u16(block + 80));
        const float dmin = f16_to_f32(load_u16(block + 82));
        for (int i = 0; i < kSuper; ++i) {
            const float scale = d * static_cast<float>(block[i / 16] & 15);
            const float min = dmin * static_cast<float>(block[i / 16] >> 4);
            dst[i] = scale * static_cast<float>(codes[i]) - min;
        }
    }
}

void dequantise_q3_k(const void* src, float* dst, int64_t elems) {
    const uint8_t* block = bytes(src);
    uint8_t codes[kSuper], scales[16];
    for (int64_t done = 0; done < elems; done += kSuper, block += 110, dst += kSuper) {
        codes_2bit_256(block + 32, codes);
        add_bits_256(block, 2, codes);
        scales_q3_k(block + 96, scales);
        const float d = f16_to_f32(load_u16(block + 108));
        for (int i = 0; i < kSuper; ++i) dst[i] = d * static_cast<float>(scales[i / 16] - 32) * static_cast<float>(codes[i] - 4);
    }
}

template <int kBits>
void dequantise_q45_k(const void* src, float* dst, int64_t elems) {
    constexpr int kHighBytes = kBits == 5 ? 32 : 0;
    const uint8_t* block = bytes(src);
    uint8_t codes[kSuper], scales[8], mins[8];
    for (int64_t done = 0; done < elems; done += kSuper, block += 144 + kHighBytes, dst += kSuper) {
        codes_4bit_256(block + 16 + kHighBytes, codes);
        if (kBits == 5) add_bits_256(block + 16, 4, codes);
        scales_q4_k(block + 4, scales, mins);
        const float d = f16_to_f32(load_u16(block));
        const float dmin = f16_to_f32(load_u16(block + 2));
        for (int i = 0; i < kSuper; ++i) {
            const float scale = d * static_cast<float>(scales[i / 32]);
            const float min = dmin * static_cast<float>(mins[i / 32]);
            dst[i] = scale * static_cast<float>(codes[i]) - min;
        }
    }
}

void dequantise_q6_k(const void* src, float* dst, int64_t elems) {
    const uint8_t* block = bytes(src);
    uint8_t codes[kSuper];
    for (int64_t done = 0; done < elems; done += kSuper, block += 210, dst += kSuper) {
        codes_q6_k(block, block + 128, codes);
        const float d = f16_to_f32(load_u16(block + 208));
        for (int i = 0; i < kSuper; ++i) {
            dst[i] = d * static_cast<float>(static_cast<int8_t>(block[192 + i / 16])) * static_cast<float>(codes[i] - 32);
        }
    }
}

void dequantise_iq4_nl(const void* src, float* dst, int64_t elems) {
    const uint8_t* block = bytes(src);
    uint8_t codes[32];
    for (int64_t done = 0; done < elems; done += 32, block += 18, dst += 32) {
        nibbles_split_16(block + 2, codes);
        const float d = f16_to_f32(load_u16(block));
        for (int i = 0; i < 32; ++i) dst[i] = d * static_cast<float>(kIq4Values[codes[i]]);
    }
}

void dequantise_iq4_xs(const void* src, float* dst, int64_t elems) {
    const uint8_t* block = bytes(src);
    uint8_t codes[32], scales[8];
    for (int64_t done = 0; done < elems; done += kSuper, block += 136, dst += kSuper) {
        scales_iq4_xs(load_u16(block + 2), block + 4, scales);
        const float d = f16_to_f32(load_u16(block));
        for (int sub = 0; sub < 8; ++sub) {
            nibbles_split_16(block + 8 + sub * 16, codes);
            const float scale = d * static_cast<float>(scales[sub] - 32);
            for (int i = 0; i < 32; ++i) dst[sub * 32 + i] = scale * static_cast<float>(kIq4Values[codes[i]]);
        }
    }
}

void dequantise_mxfp4(const void* src, float* dst, int64_t elems) {
    const uint8_t* block = bytes(src);
    uint8_t codes[32];
    for (int64_t done = 0; done < elems; done += 32, block += 17, dst += 32) {
        nibbles_split_16(block + 1, codes);
        const float d = e8m0_half_to_f32(block[0]);
        for (int i = 0; i < 32; ++i) dst[i] = d * static_cast<float>(kMxfp4Values[codes[i]]);
    }
}

// The element of largest magnitude, first of equals, with its sign.
float signed_peak(const float* src, int count) {
    float peak = src[0];
    for (int i = 1; i < count; ++i) {
        if (std::fabs(src[i]) > std::fabs(peak)) peak = src[i];
    }
    return peak;
}

void store_f16(float value, uint8_t* dst) {
    const uint16_t half = f32_to_f16(value);
    std::memcpy(dst, &half, sizeof half);
}

// Saturating, NaN to low: a cast of an out-of-range float is undefined.
int clamp_to_int(float value, int low, int high) {
    if (!(value > static_cast<float>(low))) return low;
    return value < static_cast<float>(high) ? static_cast<int>(value) : high;
}

void quantise_q8_0(const float* src, void* dst, int64_t elems) {
    uint8_t* block = static_cast<uint8_t*>(dst);
    for (int64_t done = 0; done < elems; done += 32, block += 34, src += 32) {
        const float d = std::fabs(signed_peak(src, 32)) / 127.0f;
        const float inverse = d == 0.0f ? 0.0f : 1.0f / d;
        store_f16(d, block);
        for (int i = 0; i < 32; ++i) block[2 + i] = static_cast<uint8_t>(clamp_to_int(std::round(src[i] * inverse), -127, 127));
    }
}

void quantise_q4_0(const float* src, void* dst, int64_t elems) {
    uint8_t* block = static_cast<uint8_t*>(dst);
    for (int64_t done = 0; done < elems; done += 32, block += 18, src += 32) {
        const float d = signed_peak(src, 32) / -8.0f;
        const float inverse = d == 0.0f ? 0.0f : 1.0f / d;
        store_f16(d, block);
        for (int i = 0; i < 16; ++i) {
            const int low = clamp_to_int(src[i] * inverse + 8.5f, 0, 15);
            const int high = clamp_to_int(src[i + 16] * inverse + 8.5f, 0, 15);
            block[2 + i] = static_cast<uint8_t>(low | (high << 4));
        }
    }
}

constexpr TypeInfo kTypes[] = {
    {"f32", 1, 4, dequantise_f32, quantise_f32},
    {"f16", 1, 2, dequantise_16bit<f16_to_f32>, quantise_16bit<f32_to_f16>},
    {"bf16", 1, 2, dequantise_16bit<bf16_to_f32>, quantise_16bit<f32_to_bf16>},
    {"q4_0", 32, 18, dequantise_legacy<4, false>, quantise_q4_0},
    {"q4_1", 32, 20, dequantise_legacy<4, true>, nullptr},
    {"q5_0", 32, 22, dequantise_legacy<5, false>, nullptr},
    {"q5_1", 32, 24, dequantise_legacy<5, true>, nullptr},
    {"q8_0", 32, 34, dequantise_q8_0, quantise_q8_0},
    {"q2_k", 256, 84, dequantise_q2_k, nullptr},
    {"q3_k", 256, 110, dequantise_q3_k, nullptr},
    {"q4_k", 256, 144, dequantise_q45_k<4>, nullptr},
    {"q5_k", 256, 176, dequantise_q45_k<5>, nullptr},
    {"q6_k", 256, 210, dequantise_q6_k, nullptr},
    {"iq4_nl", 32, 18, dequantise_iq4_nl, nullptr},
    {"iq4_xs", 256, 136, dequantise_iq4_xs, nullptr},
    {"mxfp4", 32, 17, dequantise_mxfp4, nullptr},
};

}  // namespace

std::span<const TypeInfo> all_types() { return kTypes; }

const TypeInfo* find_type(std::string_view id) {
    for (const TypeInfo& type : kTypes) {
        if (id == type.id) return &type;
    }
    return nullptr;
}

}  // namespace orrery::quant
