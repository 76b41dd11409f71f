// Taking GGUF blocks apart: integer codes in element order, and the scale fields.
// Shared by the reference dequantisers (types.cpp) and by the packer (pack.cpp).
// Layout source: the public GGUF block definitions, checked against PyPI gguf 0.19.0 `gguf/quants.py`.
#pragma once

#include <cstdint>

namespace orrery::quant {

// Non-linear code books of the 4-bit types.
inline constexpr int8_t kIq4Values[16] = {-127, -104, -83, -65, -49, -35, -22, -10, 1, 13, 25, 38, 53, 69, 89, 113};
inline constexpr int8_t kMxfp4Values[16] = {0, 1, 2, 3, 4, 6, 8, 12, 0, -1, -2, -3, -4, -6, -8, -12};  // twice the E2M1 value

// 16 bytes of nibble pairs: byte i holds elements i (low) and i + 16 (high).
inline void nibbles_split_16(const uint8_t* src, uint8_t* codes) {
    for (int i = 0; i < 16; ++i) codes[i] = src[i] & 15;
    for (int i = 0; i < 16; ++i) codes[i + 16] = src[i] >> 4;
}

// 32 bits, element i in bit i, put on top of 4-bit codes.
inline void add_fifth_bits(const uint8_t* bits, uint8_t* codes) {
    for (int byte = 0; byte < 4; ++byte) {
        for (int i = 0; i < 8; ++i) codes[byte * 8 + i] = static_cast<uint8_t>(codes[byte * 8 + i] | (((bits[byte] >> i) & 1) << 4));
    }
}

// 256 codes of 2 bits: each 32-byte half holds 4 runs of 32 elements, run r in bits 2r.
inline void codes_2bit_256(const uint8_t* src, uint8_t* codes) {
    for (int half = 0; half < 2; ++half) {
        for (int run = 0; run < 4; ++run) {
            for (int i = 0; i < 32; ++i) codes[half * 128 + run * 32 + i] = (src[half * 32 + i] >> (2 * run)) & 3;
        }
    }
}

// 256 codes of 4 bits: each 32-byte quarter holds 2 runs of 32 elements.
inline void codes_4bit_256(const uint8_t* src, uint8_t* codes) {
    for (int quarter = 0; quarter < 4; ++quarter) {
        for (int i = 0; i < 32; ++i) codes[quarter * 64 + i] = src[quarter * 32 + i] & 15;
        for (int i = 0; i < 32; ++i) codes[quarter * 64 + 32 + i] = src[quarter * 32 + i] >> 4;
    }
}

// 256 single bits in 32 bytes: run r of 32 elements in bit r; value[e] |= bit << shift.
inline void add_bits_256(const uint8_t* bits, int shift, uint8_t* codes) {
    for (int run = 0; run < 8; ++run) {
        for (int i = 0; i < 32; ++i) codes[run * 32 + i] = static_cast<uint8_t>(codes[run * 32 + i] | (((bits[i] >> run) & 1) << shift));
    }
}

// Q6_K: low nibbles in 2 x 64 bytes (4 runs of 32 each), high pairs in 2 x 32 bytes.
inline void codes_q6_k(const uint8_t* low, const uint8_t* high, uint8_t* codes) {
    for (int half = 0; half < 2; ++half) {
        for (int run = 0; run < 4; ++run) {
            const uint8_t* nibbles = low + half * 64 + (run & 1) * 32;
            for (int i = 0; i < 32; ++i) {
                const int nibble = run < 2 ? nibbles[i] & 15 : nibbles[i] >> 4;
                codes[half * 128 + run * 32 + i] = static_cast<uint8_t>(nibble | (((high[half * 32 + i] >> (2 * run)) & 3) << 4));
            }
        }
    }
}

// Q4_K and Q5_K: 8 scales and 8 mins of 6 bits in 12 bytes.
inline void scales_q4_k(const uint8_t* src, uint8_t* scales, uint8_t* mins) {
    for (int i = 0; i < 4; ++i) {
        scales[i] = src[i] & 63;
        mins[i] = src[4 + i] & 63;
        scales[4 + i] = static_cast<uint8_t>((src[8 + i] & 15) | ((src[i] >> 6) << 4));
        mins[4 + i] = static_cast<uint8_t>((src[8 + i] >> 4) | ((src[4 + i] >> 6) << 4));
    }
}

// Q3_K: 16 scales of 6 bits (offset 32) in 12 bytes.
inline void scales_q3_k(const uint8_t* src, uint8_t* scales) {
    for (int i = 0; i < 16; ++i) {
        const int low = i < 8 ? src[i] & 15 : src[i - 8] >> 4;
        scales[i] = static_cast<uint8_t>(low | (((src[8 + (i & 3)] >> (2 * (i >> 2))) & 3) << 4));
    }
}

// IQ4_XS: 8 scales of 6 bits (offset 32): low nibbles in 4 bytes, high pairs in 16 bits.
inline void scales_iq4_xs(uint16_t high, const uint8_t* low, uint8_t* scales) {
    for (int i = 0; i < 8; ++i) scales[i] = static_cast<uint8_t>(((low[i / 2] >> (4 * (i & 1))) & 15) | (((high >> (2 * i)) & 3) << 4));
}

}  // namespace orrery::quant
