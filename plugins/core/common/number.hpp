// Scalars in memory: half precision conversions, reading an index, writing a constant of any plain type.
#pragma once

#include <bit>
#include <cstdint>

#include "common/walk.hpp"

namespace orrery::core {

struct f16 {
    uint16_t bits;
};
struct bf16 {
    uint16_t bits;
};

inline float to_f32(bf16 v) { return std::bit_cast<float>(static_cast<uint32_t>(v.bits) << 16); }
inline float to_f32(f16 v) {
    const uint32_t sign = static_cast<uint32_t>(v.bits & 0x8000u) << 16;
    const uint32_t magnitude = v.bits & 0x7fffu;
    if (magnitude >= 0x7c00u) return std::bit_cast<float>(sign | 0x7f800000u | (magnitude & 0x3ffu) << 13);
    // Moving the bits gives 2^-112 of the value, subnormals included; the product is exact.
    return std::bit_cast<float>(sign | std::bit_cast<uint32_t>(std::bit_cast<float>(magnitude << 13) * 0x1p112f));
}

// Nearest, ties to even.
inline bf16 to_bf16(float v) {
    const uint32_t u = std::bit_cast<uint32_t>(v);
    if ((u & 0x7fffffffu) > 0x7f800000u) return {static_cast<uint16_t>(u >> 16 | 0x40u)};
    return {static_cast<uint16_t>((u + 0x7fffu + (u >> 16 & 1u)) >> 16)};
}
inline f16 to_f16(float v) {
    const uint32_t u = std::bit_cast<uint32_t>(v);
    const uint32_t sign = u >> 16 & 0x8000u, magnitude = u & 0x7fffffffu;
    if (magnitude > 0x7f800000u) return {static_cast<uint16_t>(sign | 0x7e00u | (magnitude >> 13 & 0x3ffu))};
    if (magnitude >= 0x477ff000u) return {static_cast<uint16_t>(sign | 0x7c00u)};  // 65520 and above
    if (magnitude < 0x38800000u) {
        // Below 2^-14: adding 0.5 leaves the value in units of 2^-24, rounded as the addition rounds.
        const float shifted = std::bit_cast<float>(magnitude) + 0.5f;
        return {static_cast<uint16_t>(sign | (std::bit_cast<uint32_t>(shifted) - 0x3f000000u))};
    }
    const uint32_t rounded = magnitude + 0xfffu + (magnitude >> 13 & 1u);
    return {static_cast<uint16_t>(sign | ((rounded - 0x38000000u) >> 13))};
}

// An element of an i32 or i64 tensor.
inline int64_t integer_at(const orr_tensor& t, int64_t offset_bytes) {
    return t.type == ORR_TYPE_I64 ? element<int64_t>(t, offset_bytes) : element<int32_t>(t, offset_bytes);
}

// A number as one element of a plain type; integers saturate. Returns false for types it does not know.
bool encode(uint32_t type, double value, void* dst);

}  // namespace orrery::core
