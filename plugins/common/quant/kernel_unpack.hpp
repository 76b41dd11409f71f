// Part of the kernel source shared by all instruction sets: packed super-blocks -> code vectors and f32 scales.
// Included by kernel_body.hpp inside an unnamed namespace; the including file has defined the vector operations (see kernel_avx2.cpp).

constexpr int kVectors = kTileRows / kLanes;  // vectors across a tile
constexpr int kVectorBytes = kLanes * 4;

alignas(64) constexpr uint8_t kBookBytes[2][16] = {
    {1, 24, 45, 63, 79, 93, 106, 118, 129, 141, 153, 166, 181, 197, 217, 241},          // IQ4 values + 128
    {128, 129, 130, 131, 132, 134, 136, 140, 128, 127, 126, 125, 124, 122, 120, 116}};  // MXFP4 values + 128

template <Format kFormat>
ORR_INLINE VI book_table() {
    return splat_16(kBookBytes[spec_of(kFormat).book == Book::kMxfp4 ? 1 : 0]);
}

// Moves the field at bit kFrom of every byte to bit kTo; neighbours' bits come along, the caller masks.
template <int kFrom, int kTo>
ORR_INLINE VI move_bits(VI value) {
    if constexpr (kFrom > kTo) return shift_right_16<kFrom - kTo>(value);
    else if constexpr (kFrom < kTo) return shift_left_16<kTo - kFrom>(value);
    else return value;
}

// Codes of group kGroup (4 columns) for the rows of vector v: unsigned bytes; wide types give value + 128.
template <Format kFormat, int kGroup>
ORR_INLINE VI group_codes(const uint8_t* planes, int v, VI book) {
    constexpr FormatSpec kSpec = spec_of(kFormat);
    const uint8_t* src = planes + v * kVectorBytes;
    VI codes = zero_i();
    if constexpr (kSpec.nibble) {
        codes = and_bits(move_bits<kGroup < 4 ? 0 : 4, 0>(load_bytes(src + (kGroup & 3) * kGroupBytes)), splat_byte(15));
    }
    if constexpr (kSpec.pair) {
        constexpr int kTo = kSpec.nibble ? 4 : 0;
        const VI raw = load_bytes(src + (kSpec.nibble ? 256 : 0) + kGroup / 4 * kGroupBytes);
        codes = or_bits(codes, and_bits(move_bits<2 * (kGroup & 3), kTo>(raw), splat_byte(3 << kTo)));
    }
    if constexpr (kSpec.bit) {
        constexpr int kTo = kSpec.nibble ? 4 : 2;
        const VI raw = load_bytes(src + (kSpec.nibble ? 256 : 0) + (kSpec.pair ? 128 : 0));
        codes = or_bits(codes, and_bits(move_bits<kGroup, kTo>(raw), splat_byte(1 << kTo)));
    }
    if constexpr (kSpec.byte) codes = load_bytes(src + kGroup * kGroupBytes);
    if constexpr (kSpec.book != Book::kLinear) codes = lookup_16(book, codes);
    return codes;
}

// The form that the dot product takes: wide codes as the instruction set wants them.
template <Format kFormat, int kGroup>
ORR_INLINE VI dot_codes(const uint8_t* planes, int v, VI book) {
    const VI codes = group_codes<kFormat, kGroup>(planes, v, book);
    if constexpr (is_wide(spec_of(kFormat))) return wide_operand(codes);
    else return codes;
}

template <Format kFormat>
ORR_INLINE void block_codes(const uint8_t* planes, int v, VI book, VI* dst) {
    dst[0] = dot_codes<kFormat, 0>(planes, v, book);
    dst[1] = dot_codes<kFormat, 1>(planes, v, book);
    dst[2] = dot_codes<kFormat, 2>(planes, v, book);
    dst[3] = dot_codes<kFormat, 3>(planes, v, book);
    dst[4] = dot_codes<kFormat, 4>(planes, v, book);
    dst[5] = dot_codes<kFormat, 5>(planes, v, book);
    dst[6] = dot_codes<kFormat, 6>(planes, v, book);
    dst[7] = dot_codes<kFormat, 7>(planes, v, book);
}

// The value subtracted from every code before scaling.
template <Format kFormat>
constexpr int dot_zero() {
    return is_wide(spec_of(kFormat)) ? kWideZero : spec_of(kFormat).zero;
}

// rows of 16 small integers * d -> f32 scales
ORR_INLINE void scale_rows(const uint8_t* values, bool is_signed, int count, const uint8_t* d, float* dst) {
    for (int v = 0; v < kVectors; ++v) {
        const VF factor = load_f16(d + v * kLanes * 2);
        for (int i = 0; i < count; ++i) {
            const uint8_t* src = values + i * kTileRows + v * kLanes;
            store_f(dst + i * kTileRows + v * kLanes, mul(factor, is_signed ? load_s8(src) : load_u8(src)));
        }
    }
}

// f32 scales (and subtracted minima) of a super-block: dst[sub * 16 + row]. Products in the order of the reference dequantisers.
template <Format kFormat>
ORR_INLINE void decode_scales(const uint8_t* area, int blocks, float* scales, float* mins) {
    constexpr ScaleKind kKind = spec_of(kFormat).scales;
    alignas(64) uint8_t a[256], b[256];
    if constexpr (kKind == ScaleKind::kF16) {
        for (int i = 0; i < blocks * kTileRows; i += kLanes) store_f(scales + i, load_f16(area + i * 2));
    } else if constexpr (kKind == ScaleKind::kF16Min) {
        for (int i = 0; i < blocks; ++i) {
            for (int r = 0; r < kTileRows; r += kLanes) {
                store_f(scales + i * kTileRows + r, load_f16(area + i * 64 + r * 2));
                store_f(mins + i * kTileRows + r, sub(zero_f(), load_f16(area + i * 64 + 32 + r * 2)));
            }
        }
    } else if constexpr (kKind == ScaleKind::kE8m0) {
        for (int i = 0; i < blocks * kTileRows; i += kLanes) store_f(scales + i, load_e8m0_half(area + i));
    } else if constexpr (kKind == ScaleKind::kQ2K) {
        for (int i = 0; i < 256; ++i) a[i] = area[64 + i] & 15;
        for (int i = 0; i < 256; ++i) b[i] = area[64 + i] >> 4;
        scale_rows(a, false, 16, area, scales);
        scale_rows(b, false, 16, area + 32, mins);
    } else if constexpr (kKind == ScaleKind::kQ3K) {
        const uint8_t* high = area + 192;
        for (int i = 0; i < 128; ++i) a[i] = static_cast<uint8_t>(((area[64 + i] & 15) | (((high[i & 63] >> (i < 64 ? 0 : 2)) & 3) << 4)) - 32);
        for (int i = 0; i < 128; ++i) a[128 + i] = static_cast<uint8_t>(((area[64 + i] >> 4) | (((high[i & 63] >> (i < 64 ? 4 : 6)) & 3) << 4)) - 32);
        scale_rows(a, true, 16, area, scales);
    } else if constexpr (kKind == ScaleKind::kQ45K) {
        const uint8_t* high = area + 192;
        for (int i = 0; i < 64; ++i) a[i] = static_cast<uint8_t>((area[64 + i] & 15) | ((high[i] & 3) << 4));
        for (int i = 0; i < 64; ++i) a[64 + i] = static_cast<uint8_t>((area[64 + i] >> 4) | ((high[i] & 12) << 2));
        for (int i = 0; i < 64; ++i) b[i] = static_cast<uint8_t>((area[128 + i] & 15) | (high[i] & 48));
        for (int i = 0; i < 64; ++i) b[64 + i] = static_cast<uint8_t>((area[128 + i] >> 4) | ((high[i] & 192) >> 2));
        scale_rows(a, false, 8, area, scales);
        scale_rows(b, false, 8, area + 32, mins);
    } else if constexpr (kKind == ScaleKind::kQ6K) {
        scale_rows(area + 64, true, 16, area, scales);
    } else if constexpr (kKind == ScaleKind::kIq4Xs) {
        // scale i: high pair in byte (i & 1) * 16 + row, bits 2 (i >> 1)
        for (int i = 0; i < 64; ++i) {
            const int high = area[32 + (i & 31)];
            a[i] = static_cast<uint8_t>(((area[64 + i] & 15) | (((high >> (i < 32 ? 0 : 2)) & 3) << 4)) - 32);
            a[64 + i] = static_cast<uint8_t>(((area[64 + i] >> 4) | (((high >> (i < 32 ? 4 : 6)) & 3) << 4)) - 32);
        }
        scale_rows(a, true, 8, area, scales);
    }
}

// One group's 4 columns as f32 weights: dst[i * 16 + row] for column i, the dequantiser's value bit for bit.
template <Format kFormat, int kGroup>
ORR_INLINE void panel_group(const uint8_t* planes, int v, VI book, const float* scale, const float* min, float* dst) {
    constexpr FormatSpec kSpec = spec_of(kFormat);
    const VI codes = group_codes<kFormat, kGroup>(planes, v, book);
    const VI zero = splat_i32(is_wide(kSpec) ? 128 : kSpec.zero);
    constexpr int kSub = kSpec.subs == 2 ? kGroup / 4 : 0;
    const VF factor = load_f(scale + kSub * kTileRows + v * kLanes);
    const VI bytes[4] = {byte_of<0>(codes), byte_of<1>(codes), byte_of<2>(codes), byte_of<3>(codes)};
    for (int i = 0; i < 4; ++i) {
        VF weight = mul(factor, to_float(sub_i32(bytes[i], zero)));
        if constexpr (kSpec.has_min) weight = sub(weight, load_f(min + kSub * kTileRows + v * kLanes));
        store_f(dst + (kGroup * 4 + i) * kTileRows + v * kLanes, weight);
    }
}

template <Format kFormat>
ORR_INLINE void panel_block(const uint8_t* planes, VI book, const float* scale, const float* min, float* dst) {
    for (int v = 0; v < kVectors; ++v) {
        panel_group<kFormat, 0>(planes, v, book, scale, min, dst);
        panel_group<kFormat, 1>(planes, v, book, scale, min, dst);
        panel_group<kFormat, 2>(planes, v, book, scale, min, dst);
        panel_group<kFormat, 3>(planes, v, book, scale, min, dst);
        panel_group<kFormat, 4>(planes, v, book, scale, min, dst);
        panel_group<kFormat, 5>(planes, v, book, scale, min, dst);
        panel_group<kFormat, 6>(planes, v, book, scale, min, dst);
        panel_group<kFormat, 7>(planes, v, book, scale, min, dst);
    }
}
