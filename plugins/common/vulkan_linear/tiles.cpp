#include "vulkan_linear/tiles.hpp"

#include <algorithm>
#include <cstring>

#include "orrery/ext/parts.h"
#include "quant/blocks.hpp"
#include "quant/half.hpp"
#include "quant/types.hpp"

namespace orrery::vk {
namespace {

using namespace shaders;

constexpr const char* kRowsLayout = "orr.tiles32/1";
constexpr const char* kColumnsLayout = "orr.tiles32.transposed/1";
constexpr const char* kTypes[] = {"f32", "f16", "bf16", "q4_0", "q4_1", "q5_0", "q5_1", "q8_0", "q2_k", "q3_k", "q4_k", "q5_k", "q6_k", "iq4_nl", "iq4_xs", "mxfp4"};

// A file block taken apart: up to 256 codes, the parameters of its blocks of 32, and what 256 columns share.
struct Parts {
    uint8_t codes[256];
    uint32_t params[8];
    uint32_t super;
};

uint32_t pair(uint32_t low, uint32_t high) { return low | high << 8; }
uint32_t signed_byte(int v) { return static_cast<uint8_t>(static_cast<int8_t>(v)); }
uint32_t word(const uint8_t* src) { return static_cast<uint32_t>(quant::load_u16(src)) | static_cast<uint32_t>(quant::load_u16(src + 2)) << 16; }

void take_legacy(uint32_t type, const uint8_t* block, Parts& p) {
    const bool two = type == TILE_Q4_1 || type == TILE_Q5_1, five = type == TILE_Q5_0 || type == TILE_Q5_1;
    const int scale_bytes = type == TILE_MXFP4 ? 1 : two ? 4 : 2;
    p.params[0] = type == TILE_MXFP4 ? block[0] : two ? word(block) : quant::load_u16(block);
    if (type == TILE_Q8_0) {
        for (int i = 0; i < 32; ++i) p.codes[i] = static_cast<uint8_t>(block[2 + i] ^ 128);
        return;
    }
    quant::nibbles_split_16(block + scale_bytes + (five ? 4 : 0), p.codes);
    if (five) quant::add_fifth_bits(block + scale_bytes, p.codes);
}

void take_q45_k(bool five, const uint8_t* block, Parts& p) {
    uint8_t scales[8], mins[8];
    quant::codes_4bit_256(block + (five ? 48 : 16), p.codes);
    if (five) quant::add_bits_256(block + 16, 4, p.codes);
    quant::scales_q4_k(block + 4, scales, mins);
    for (int i = 0; i < 8; ++i) p.params[i] = pair(scales[i], mins[i]);
    p.super = word(block);
}

void take_k(uint32_t type, const uint8_t* block, Parts& p) {
    uint8_t scales[16];
    switch (type) {
        case TILE_Q2_K:
            quant::codes_2bit_256(block + 16, p.codes);
            for (int i = 0; i < 8; ++i) p.params[i] = pair(block[2 * i], block[2 * i + 1]);
            p.super = word(block + 80);
            break;
        case TILE_Q3_K:
            quant::codes_2bit_256(block + 32, p.codes);
            quant::add_bits_256(block, 2, p.codes);
            quant::scales_q3_k(block + 96, scales);
            for (int i = 0; i < 8; ++i) p.params[i] = pair(signed_byte(scales[2 * i] - 32), signed_byte(scales[2 * i + 1] - 32));
            p.super = quant::load_u16(block + 108);
            break;
        case TILE_Q4_K: take_q45_k(false, block, p); break;
        case TILE_Q5_K: take_q45_k(true, block, p); break;
        case TILE_Q6_K:
            quant::codes_q6_k(block, block + 128, p.codes);
            for (int i = 0; i < 8; ++i) p.params[i] = pair(block[192 + 2 * i], block[193 + 2 * i]);
            p.super = quant::load_u16(block + 208);
            break;
        default:  // IQ4_XS
            quant::scales_iq4_xs(quant::load_u16(block + 2), block + 4, scales);
            for (int i = 0; i < 8; ++i) {
                quant::nibbles_split_16(block + 8 + 16 * i, p.codes + 32 * i);
                p.params[i] = signed_byte(scales[i] - 32);
            }
            p.super = quant::load_u16(block);
    }
}

// Where row `row` of a tile lies in a plane whose rows hold `words` words each.
uint8_t* plane_row(uint8_t* plane, uint32_t row, uint32_t words) { return plane + row * words * 4; }

void put_little(uint8_t* dst, uint32_t value, uint32_t bytes) {
    for (uint32_t i = 0; i < bytes; ++i) dst[i] = static_cast<uint8_t>(value >> (8 * i));
}

// Codes of 32 columns into a tile.
void put_codes(uint32_t type, const uint8_t* codes, uint8_t* tile, uint32_t row) {
    uint8_t* high = tile + tile_code_bytes(type);
    if (type == TILE_Q8_0) {
        for (uint32_t plane = 0; plane < 2; ++plane) std::memcpy(plane_row(tile + plane * 512, row, 4), codes + 16 * plane, 16);
    } else if (tile_code_bytes(type) == 512) {
        uint8_t* dst = plane_row(tile, row, 4);
        for (int i = 0; i < 16; ++i) dst[i] = static_cast<uint8_t>((codes[i] & 15) | (codes[16 + i] & 15) << 4);
    } else {
        uint8_t* dst = plane_row(tile, row, 2);
        for (int i = 0; i < 32; ++i) dst[i / 16 * 4 + i % 4] |= static_cast<uint8_t>((codes[i] & 3) << (2 * (i / 4 % 4)));
    }
    if (tile_high_bytes(type) == 128) {
        const int shift = type == TILE_Q3_K ? 2 : 4;
        uint8_t* dst = plane_row(high, row, 1);
        for (int i = 0; i < 32; ++i) dst[i % 4] |= static_cast<uint8_t>((codes[i] >> shift & 1) << (i / 4));
    } else if (tile_high_bytes(type) == 256) {
        uint8_t* dst = plane_row(high, row, 2);
        for (int i = 0; i < 32; ++i) dst[i / 16 * 4 + i % 4] |= static_cast<uint8_t>((codes[i] >> 4 & 3) << (2 * (i / 4 % 4)));
    }
}

// Block types: one row of a row tile. dst is zero.
void pack_block_row(uint32_t type, const quant::TypeInfo& info, const uint8_t* src, int64_t cols, uint8_t* dst, uint32_t row) {
    const bool k_type = info.block_elems == 256;
    Parts parts{};
    uint32_t at = 0;
    for (int64_t done = 0; done < cols; done += info.block_elems, src += info.block_bytes) {
        if (k_type) take_k(type, src, parts);
        else take_legacy(type, src, parts);
        if (k_type) put_little(dst + tile_super_at(type, at) + row * tile_super_bytes(type) / 32, parts.super, tile_super_bytes(type) / 32);
        for (int32_t i = 0; i < info.block_elems / 32; ++i, ++at) {
            uint8_t* tile = dst + tile_at(type, at);
            put_codes(type, parts.codes + 32 * i, tile, row);
            const uint32_t bytes = tile_param_bytes(type) / 32;
            put_little(tile + tile_code_bytes(type) + tile_high_bytes(type) + row * bytes, parts.params[i], bytes);
        }
    }
}

// Float types: column k of row `row` lies in a plane of 16 bytes a row.
uint8_t* float_at(uint8_t* row_tile, uint32_t type, uint32_t bytes, int64_t k, uint32_t row) {
    const int64_t in = k % 32, lanes = 16 / bytes;
    return row_tile + tile_at(type, static_cast<uint32_t>(k / 32)) + in / lanes * 512 + row * 16 + in % lanes * bytes;
}

// One chunk: one row tile of one matrix.
void pack(const orr_tensor* src, void* dst, int64_t chunk, bool transposed) {
    const Tiles t = describe_tiles(*src, transposed);
    const quant::TypeInfo& info = *quant::find_type(src->type_id);
    const int64_t matrix = chunk / t.row_tiles(), first = chunk % t.row_tiles() * 32;
    const uint32_t count = static_cast<uint32_t>(std::min<int64_t>(32, t.rows - first));
    const uint64_t tile_bytes = tile_row_bytes(t.type, t.blocks());
    uint8_t* to = static_cast<uint8_t*>(dst) + matrix * t.matrix_bytes() + static_cast<uint64_t>(first / 32) * tile_bytes;
    std::memset(to, 0, tile_bytes);
    const uint8_t* from = static_cast<const uint8_t*>(src->data);
    if (info.block_elems > 1) {
        const int64_t row_bytes = quant::row_bytes(info, t.cols);
        from += (matrix * t.rows + first) * row_bytes;
        for (uint32_t r = 0; r < count; ++r) pack_block_row(t.type, info, from + r * row_bytes, t.cols, to, r);
        return;
    }
    const uint32_t bytes = src->block_bytes;
    from += matrix * t.rows * t.cols * bytes;
    for (uint32_t r = 0; r < count; ++r) {
        if (transposed) {
            for (int64_t k = 0; k < t.cols; ++k) std::memcpy(float_at(to, t.type, bytes, k, r), from + (k * t.rows + first + r) * bytes, bytes);
            continue;
        }
        const uint8_t* row = from + (first + r) * t.cols * bytes;
        for (int64_t k = 0; k < t.cols; k += 16 / bytes) std::memcpy(float_at(to, t.type, bytes, k, r), row + k * bytes, static_cast<size_t>(std::min<int64_t>(16 / bytes, t.cols - k)) * bytes);
    }
}

void pack_rows(const orr_tensor* src, void* dst, int64_t chunk) { pack(src, dst, chunk, false); }
void pack_columns(const orr_tensor* src, void* dst, int64_t chunk) { pack(src, dst, chunk, true); }

const orr_parts* parts_of(const orr_prepare* p) { return static_cast<const orr_parts*>(p->host->get_extension(p->host, ORR_EXT_PARTS)); }

}  // namespace

int32_t tile_type(const orr_tensor& weight) {
    for (uint32_t i = 0; i < sizeof kTypes / sizeof *kTypes; ++i)
        if (weight.type_id && !std::strcmp(weight.type_id, kTypes[i])) return static_cast<int32_t>(i);
    return -1;
}

bool can_pack(const orr_tensor& weight, bool transposed, char* reason, size_t size) {
    if (tile_type(weight) < 0) return refuse(reason, size, "no kernel for weights " + describe(weight));
    if (*weight.layout) return refuse(reason, size, "weights come in layout " + std::string(weight.layout));
    if (!(weight.flags & ORR_TENSOR_CONSTANT)) return refuse(reason, size, "weights " + describe(weight) + " are not constant");
    if (!is_contiguous(weight)) return refuse(reason, size, "weights " + describe(weight) + " are not contiguous");
    if (transposed && weight.block_elems != 1) return refuse(reason, size, "transposed weights of block type " + std::string(weight.type_id));
    const int64_t inner = weight.shape[weight.rank - 1];
    if (inner % weight.block_elems) return refuse(reason, size, "rows of " + std::to_string(inner) + " are not whole blocks of " + std::to_string(weight.block_elems));
    const Tiles t = describe_tiles(weight, transposed);
    if (t.cols >= int64_t{1} << 24 || t.rows >= int64_t{1} << 30) return refuse(reason, size, "weights " + describe(weight) + " have more than 2^24 columns or 2^30 rows");
    return true;
}

Tiles describe_tiles(const orr_tensor& weight, bool transposed) {
    const int64_t* last = weight.shape + weight.rank - 2;
    Tiles t{static_cast<uint32_t>(tile_type(weight)), last[transposed ? 1 : 0], last[transposed ? 0 : 1], 1};
    for (int32_t i = 0; i + 2 < weight.rank; ++i) t.stack *= weight.shape[i];
    return t;
}

Tiles place_tiles(orr_prepare* p, uint32_t input, bool transposed) {
    const Tiles own = describe_tiles(*p->inputs[input], transposed);
    orr_part part{};
    part.header = ORR_HEADER(orr_part);
    char ignored[256];
    const orr_parts* parts = parts_of(p);
    if (!parts || !parts->find(p, input, &part) || part.whole->rank != 2 || !can_pack(*part.whole, transposed, ignored, sizeof ignored)) return own;
    const int64_t first_row = part.first[transposed ? 1 : 0], first_col = part.first[transposed ? 0 : 1];
    Tiles t = describe_tiles(*part.whole, transposed);
    // Behind the last column of a weight shaders meet zeros, not its neighbours.
    if (first_col || first_row % 32 || (own.cols % 32 && own.cols != t.cols)) return own;
    t.whole = true;
    t.offset = static_cast<uint64_t>(first_row / 32) * tile_row_bytes(t.type, t.blocks());
    return t;
}

orr_status pack_tiles(orr_prepare* p, uint32_t input, const Tiles& tiles, bool transposed) {
    orr_pack pack{};
    pack.header = ORR_HEADER(orr_pack);
    pack.layout = transposed ? kColumnsLayout : kRowsLayout;
    pack.bytes = static_cast<uint64_t>(tiles.stack) * tiles.matrix_bytes();
    pack.alignment = 256;
    pack.chunks = tiles.stack * tiles.row_tiles();
    pack.pack = transposed ? pack_columns : pack_rows;
    return tiles.whole ? parts_of(p)->prepack_whole(p, input, &pack) : p->prepack(p, input, &pack);
}

}  // namespace orrery::vk
