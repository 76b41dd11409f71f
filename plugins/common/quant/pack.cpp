#include <cstring>

#include "blocks.hpp"
#include "half.hpp"
#include "matmul.hpp"

namespace orrery::quant {
namespace {

constexpr const char* kLayout = "rows16/1";

uint32_t load_u32(const uint8_t* src) {
    uint32_t value;
    std::memcpy(&value, src, sizeof value);
    return value;
}

void store_u32(uint32_t value, uint8_t* dst) { std::memcpy(dst, &value, sizeof value); }

// Codes of one source block, in column order, as the planes hold them.
void extract_codes(Format format, const uint8_t* block, uint8_t* codes) {
    switch (format) {
        case Format::kQ4_0:
        case Format::kIq4_Nl: nibbles_split_16(block + 2, codes); break;
        case Format::kQ4_1: nibbles_split_16(block + 4, codes); break;
        case Format::kQ5_0:
            nibbles_split_16(block + 6, codes);
            add_fifth_bits(block + 2, codes);
            break;
        case Format::kQ5_1:
            nibbles_split_16(block + 8, codes);
            add_fifth_bits(block + 4, codes);
            break;
        case Format::kQ8_0:
            for (int i = 0; i < 32; ++i) codes[i] = block[2 + i] ^ 0x80;
            break;
        case Format::kQ2_K: codes_2bit_256(block + 16, codes); break;
        case Format::kQ3_K:
            codes_2bit_256(block + 32, codes);
            add_bits_256(block, 2, codes);
            break;
        case Format::kQ4_K: codes_4bit_256(block + 16, codes); break;
        case Format::kQ5_K:
            codes_4bit_256(block + 48, codes);
            add_bits_256(block + 16, 4, codes);
            break;
        case Format::kQ6_K: codes_q6_k(block, block + 128, codes); break;
        case Format::kIq4_Xs:
            for (int sub = 0; sub < 8; ++sub) nibbles_split_16(block + 8 + sub * 16, codes + sub * 32);
            break;
        case Format::kMxfp4: nibbles_split_16(block + 1, codes); break;
        case Format::kF32:
        case Format::kF16:
        case Format::kBf16: break;
    }
}

// Writes the planes of one row's block of 32 codes. dst is zeroed before the first row.
void put_codes(const FormatSpec& spec, const uint8_t* codes, int row, uint8_t* dst) {
    uint32_t group[8];
    for (int g = 0; g < 8; ++g) group[g] = load_u32(codes + 4 * g);
    uint8_t* plane = dst + row * 4;
    if (spec.nibble) {
        for (int j = 0; j < 4; ++j) store_u32((group[j] & 0x0F0F0F0Fu) | ((group[j + 4] & 0x0F0F0F0Fu) << 4), plane + j * kGroupBytes);
        plane += 256;
    }
    if (spec.pair) {
        const int shift = spec.nibble ? 4 : 0;
        for (int h = 0; h < 2; ++h) {
            uint32_t bits = 0;
            for (int i = 0; i < 4; ++i) bits |= ((group[4 * h + i] >> shift) & 0x03030303u) << (2 * i);
            store_u32(bits, plane + h * kGroupBytes);
        }
        plane += 128;
    }
    if (spec.bit) {
        const int shift = spec.nibble ? 4 : 2;
        uint32_t bits = 0;
        for (int g = 0; g < 8; ++g) bits |= ((group[g] >> shift) & 0x01010101u) << g;
        store_u32(bits, plane);
        plane += 64;
    }
    if (spec.byte) {
        for (int g = 0; g < 8; ++g) store_u32(group[g], plane + g * kGroupBytes);
    }
}

// Inverse of put_codes.
void get_codes(const FormatSpec& spec, const uint8_t* src, int row, uint8_t* codes) {
    uint32_t group[8] = {};
    const uint8_t* plane = src + row * 4;
    if (spec.nibble) {
        for (int j = 0; j < 4; ++j) {
            const uint32_t both = load_u32(plane + j * kGroupBytes);
            group[j] = both & 0x0F0F0F0Fu;
            group[j + 4] = (both >> 4) & 0x0F0F0F0Fu;
        }
        plane += 256;
    }
    if (spec.pair) {
        const int shift = spec.nibble ? 4 : 0;
        for (int g = 0; g < 8; ++g) group[g] |= ((load_u32(plane + g / 4 * kGroupBytes) >> (2 * (g & 3))) & 0x03030303u) << shift;
        plane += 128;
    }
    if (spec.bit) {
        const int shift = spec.nibble ? 4 : 2;
        for (int g = 0; g < 8; ++g) group[g] |= ((load_u32(plane) >> g) & 0x01010101u) << shift;
        plane += 64;
    }
    if (spec.byte) {
        for (int g = 0; g < 8; ++g) group[g] = load_u32(plane + g * kGroupBytes);
    }
    for (int g = 0; g < 8; ++g) store_u32(group[g], codes + 4 * g);
}

void copy_2(const uint8_t* src, uint8_t* dst) { std::memcpy(dst, src, 2); }

void or_into(uint8_t* dst, int value) { *dst = static_cast<uint8_t>(*dst | value); }

// Scales of one source block into the scale area of its super-block; block: index within the super-block (32-element types).
void put_scales(Format format, const uint8_t* src, int block, int row, uint8_t* area) {
    uint8_t scales[16], mins[16];
    switch (spec_of(format).scales) {
        case ScaleKind::kNone: break;
        case ScaleKind::kF16: copy_2(src, area + block * 32 + row * 2); break;
        case ScaleKind::kF16Min:
            copy_2(src, area + block * 64 + row * 2);
            copy_2(src + 2, area + block * 64 + 32 + row * 2);
            break;
        case ScaleKind::kE8m0: area[block * 16 + row] = src[0]; break;
        case ScaleKind::kQ2K:
            copy_2(src + 80, area + row * 2);
            copy_2(src + 82, area + 32 + row * 2);
            for (int i = 0; i < 16; ++i) area[64 + i * 16 + row] = src[i];
            break;
        case ScaleKind::kQ3K:
            copy_2(src + 108, area + row * 2);
            scales_q3_k(src + 96, scales);
            for (int i = 0; i < 8; ++i) area[64 + i * 16 + row] = static_cast<uint8_t>((scales[i] & 15) | ((scales[i + 8] & 15) << 4));
            for (int i = 0; i < 16; ++i) or_into(&area[192 + (i & 3) * 16 + row], (scales[i] >> 4) << (2 * (i >> 2)));
            break;
        case ScaleKind::kQ45K:
            copy_2(src, area + row * 2);
            copy_2(src + 2, area + 32 + row * 2);
            scales_q4_k(src + 4, scales, mins);
            for (int i = 0; i < 4; ++i) {
                area[64 + i * 16 + row] = static_cast<uint8_t>((scales[i] & 15) | ((scales[i + 4] & 15) << 4));
                area[128 + i * 16 + row] = static_cast<uint8_t>((mins[i] & 15) | ((mins[i + 4] & 15) << 4));
                const int low = (scales[i] >> 4) | ((scales[i + 4] >> 4) << 2);
                area[192 + i * 16 + row] = static_cast<uint8_t>(low | ((mins[i] >> 4) << 4) | ((mins[i + 4] >> 4) << 6));
            }
            break;
        case ScaleKind::kQ6K:
            copy_2(src + 208, area + row * 2);
            for (int i = 0; i < 16; ++i) area[64 + i * 16 + row] = src[192 + i];
            break;
        case ScaleKind::kIq4Xs:
            copy_2(src, area + row * 2);
            scales_iq4_xs(load_u16(src + 2), src + 4, scales);
            for (int i = 0; i < 8; ++i) or_into(&area[32 + (i & 1) * 16 + row], (scales[i] >> 4) << (2 * (i >> 1)));
            for (int i = 0; i < 4; ++i) area[64 + i * 16 + row] = static_cast<uint8_t>((scales[i] & 15) | ((scales[i + 4] & 15) << 4));
            break;
    }
}

struct Scale {
    float scale, min;
};

float f16_at(const uint8_t* src) { return f16_to_f32(load_u16(src)); }

// Scale of sub-block sub (of 32 or 16 columns) of one row.
Scale get_scale(ScaleKind kind, const uint8_t* area, int sub, int row) {
    const uint8_t* column = area + row;
    switch (kind) {
        case ScaleKind::kNone: break;
        case ScaleKind::kF16: return {f16_at(area + sub * 32 + row * 2), 0.0f};
        case ScaleKind::kF16Min: return {f16_at(area + sub * 64 + row * 2), -f16_at(area + sub * 64 + 32 + row * 2)};
        case ScaleKind::kE8m0: return {e8m0_half_to_f32(column[sub * 16]), 0.0f};
        case ScaleKind::kQ2K: {
            const int both = column[64 + sub * 16];
            return {f16_at(area + row * 2) * static_cast<float>(both & 15), f16_at(area + 32 + row * 2) * static_cast<float>(both >> 4)};
        }
        case ScaleKind::kQ3K: {
            const int low = (column[64 + (sub & 7) * 16] >> (sub < 8 ? 0 : 4)) & 15;
            const int high = (column[192 + (sub & 3) * 16] >> (2 * (sub >> 2))) & 3;
            return {f16_at(area + row * 2) * static_cast<float>((low | (high << 4)) - 32), 0.0f};
        }
        case ScaleKind::kQ45K: {
            const int shift = sub < 4 ? 0 : 4;
            const int high = column[192 + (sub & 3) * 16] >> (shift / 2);
            const int scale = ((column[64 + (sub & 3) * 16] >> shift) & 15) | ((high & 3) << 4);
            const int min = ((column[128 + (sub & 3) * 16] >> shift) & 15) | (((high >> 4) & 3) << 4);
            return {f16_at(area + row * 2) * static_cast<float>(scale), f16_at(area + 32 + row * 2) * static_cast<float>(min)};
        }
        case ScaleKind::kQ6K:
            return {f16_at(area + row * 2) * static_cast<float>(static_cast<int8_t>(column[64 + sub * 16])), 0.0f};
        case ScaleKind::kIq4Xs: {
            const int low = (column[64 + (sub & 3) * 16] >> (sub < 4 ? 0 : 4)) & 15;
            const int high = (column[32 + (sub & 1) * 16] >> (2 * (sub >> 1))) & 3;
            return {f16_at(area + row * 2) * static_cast<float>((low | (high << 4)) - 32), 0.0f};
        }
    }
    return {0.0f, 0.0f};
}

float code_value(const FormatSpec& spec, uint8_t code) {
    if (spec.book == Book::kIq4) return kIq4Values[code];
    if (spec.book == Book::kMxfp4) return kMxfp4Values[code];
    return static_cast<float>(static_cast<int>(code) - (spec.byte ? 128 : spec.zero));
}

void pack_quantised_tile(const WeightFormat& format, const uint8_t* src, int64_t src_row_bytes, int rows, int64_t cols, uint8_t* dst) {
    const FormatSpec& spec = format.spec();
    const int64_t blocks = cols / kBlock;
    const int blocks_per_source = spec.source_elems / kBlock;
    const int code_bytes = block_code_bytes(spec);
    uint8_t codes[256];
    for (int64_t first = 0; first < blocks; first += kSuperBlocks) {
        const int count = static_cast<int>(blocks - first < kSuperBlocks ? blocks - first : kSuperBlocks);
        const int64_t bytes = super_bytes(spec, count);
        std::memset(dst, 0, static_cast<size_t>(bytes));
        uint8_t* planes = dst + scale_area(spec.scales, count);
        for (int row = 0; row < rows; ++row) {
            const uint8_t* block = src + row * src_row_bytes + first / blocks_per_source * spec.source_bytes;
            for (int b = 0; b < count; b += blocks_per_source, block += spec.source_bytes) {
                extract_codes(format.id, block, codes);
                put_scales(format.id, block, b, row, dst);
                for (int i = 0; i < blocks_per_source; ++i) put_codes(spec, codes + 32 * i, row, planes + (b + i) * code_bytes);
            }
        }
        dst += bytes;
    }
}

template <typename T>
void pack_float_tile(const uint8_t* src, int64_t src_row_bytes, int rows, int64_t cols, uint8_t* dst, int64_t dst_bytes) {
    std::memset(dst, 0, static_cast<size_t>(dst_bytes));
    for (int row = 0; row < rows; ++row) {
        for (int64_t k = 0; k < cols; ++k) {
            std::memcpy(dst + (k * kTileRows + row) * static_cast<int64_t>(sizeof(T)), src + row * src_row_bytes + k * static_cast<int64_t>(sizeof(T)),
                        sizeof(T));
        }
    }
}

void unpack_float_row(const WeightFormat& format, const uint8_t* tile, int64_t cols, int row, float* dst) {
    for (int64_t k = 0; k < cols; ++k) {
        const uint8_t* element = tile + (k * kTileRows + row) * format.spec().source_bytes;
        if (format.id == Format::kF32) {
            std::memcpy(dst + k, element, sizeof(float));
        } else {
            dst[k] = format.id == Format::kF16 ? f16_to_f32(load_u16(element)) : bf16_to_f32(load_u16(element));
        }
    }
}

constexpr WeightFormat make_format(int index) {
    return {kSpecs[index].type, kLayout, static_cast<Format>(index), index < kQuantisedFormats};
}

constexpr WeightFormat kFormats[kFormatCount] = {make_format(0),  make_format(1),  make_format(2),  make_format(3), make_format(4),  make_format(5),
                                                 make_format(6),  make_format(7),  make_format(8),  make_format(9), make_format(10), make_format(11),
                                                 make_format(12), make_format(13), make_format(14), make_format(15)};

}  // namespace

const WeightFormat* find_weight_format(std::string_view type) {
    for (const WeightFormat& format : kFormats) {
        if (type == format.type) return &format;
    }
    return nullptr;
}

int64_t WeightFormat::packed_bytes(int64_t rows, int64_t cols) const {
    if (rows < 0 || cols < 0 || cols % column_multiple()) return -1;
    return tiles(rows) * tile_bytes(spec(), cols);
}

void WeightFormat::pack(const void* src, int64_t rows, int64_t cols, int64_t tile_begin, int64_t tile_end, void* dst) const {
    const int64_t src_row_bytes = cols / spec().source_elems * spec().source_bytes;
    const int64_t bytes = tile_bytes(spec(), cols);
    for (int64_t tile = tile_begin; tile < tile_end; ++tile) {
        const int64_t first = tile * kTileRows;
        const int count = static_cast<int>(rows - first < kTileRows ? rows - first : kTileRows);
        const uint8_t* tile_src = static_cast<const uint8_t*>(src) + first * src_row_bytes;
        uint8_t* tile_dst = static_cast<uint8_t*>(dst) + tile * bytes;
        if (quantised) {
            pack_quantised_tile(*this, tile_src, src_row_bytes, count, cols, tile_dst);
        } else if (id == Format::kF32) {
            pack_float_tile<uint32_t>(tile_src, src_row_bytes, count, cols, tile_dst, bytes);
        } else {
            pack_float_tile<uint16_t>(tile_src, src_row_bytes, count, cols, tile_dst, bytes);
        }
    }
}

void WeightFormat::unpack_row(const void* packed, int64_t cols, int64_t row, float* dst) const {
    const FormatSpec& format = spec();
    const uint8_t* src = static_cast<const uint8_t*>(packed) + row / kTileRows * tile_bytes(format, cols);
    const int lane = static_cast<int>(row % kTileRows);
    if (!quantised) return unpack_float_row(*this, src, cols, lane, dst);
    const int64_t blocks = cols / kBlock;
    const int code_bytes = block_code_bytes(format);
    const int sub_elems = kBlock / format.subs;
    uint8_t codes[kBlock];
    for (int64_t first = 0; first < blocks; first += kSuperBlocks) {
        const int count = static_cast<int>(blocks - first < kSuperBlocks ? blocks - first : kSuperBlocks);
        const uint8_t* planes = src + scale_area(format.scales, count);
        for (int b = 0; b < count; ++b) {
            get_codes(format, planes + b * code_bytes, lane, codes);
            for (int i = 0; i < kBlock; ++i) {
                const Scale scale = get_scale(format.scales, src, b * format.subs + i / sub_elems, lane);
                const float product = scale.scale * code_value(format, codes[i]);
                *dst++ = format.has_min ? product - scale.min : product;
            }
        }
        src += super_bytes(format, count);
    }
}

}  // namespace orrery::quant
