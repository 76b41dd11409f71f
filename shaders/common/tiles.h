// Weights as products on devices read them, layout "orr.tiles32/1"; read as GLSL and as C++.
// A tile holds 32 rows by 32 columns (one block); element i of row r of a tile belongs to invocation r of 32. Tiles of the same 32 rows
// follow each other by column; of the K types, 8 tiles are followed by what 256 columns share. Planes of a tile, each [32 rows]:
//   codes   f32: 8 x 4 words, f16 bf16: 4 x 4 words (column quads in order); 8 bits: 2 x 4 words; 4 bits: 4 words; 2 bits: 2 words
//   high    bits above them: 1 bit: a word; 2 bits: 2 words
//   param   the block's scale: see tile_scales in tiles.glsl
// Quad q (columns 4q … 4q + 3) of 8-bit codes: word q, a byte each. Of 4 bits: word q & 3, the low nibble of each byte for q < 4, else the high.
// Of 2 bits: word q >> 2, bits 2 (q & 3) of each byte. Of 1 bit: bit q of each byte. Codes are unsigned: signed bytes are stored + 128.
#ifndef ORR_TILES_H
#define ORR_TILES_H
#ifdef __cplusplus
#include <cstdint>
#define ORR_TILE_FN constexpr
namespace orrery::shaders {
using uint = uint32_t;
#else
#define ORR_TILE_FN
#endif

const uint TILE_F32 = 0u, TILE_F16 = 1u, TILE_BF16 = 2u, TILE_Q4_0 = 3u, TILE_Q4_1 = 4u, TILE_Q5_0 = 5u, TILE_Q5_1 = 6u, TILE_Q8_0 = 7u;
const uint TILE_Q2_K = 8u, TILE_Q3_K = 9u, TILE_Q4_K = 10u, TILE_Q5_K = 11u, TILE_Q6_K = 12u, TILE_IQ4_NL = 13u, TILE_IQ4_XS = 14u, TILE_MXFP4 = 15u;
// Plain memory, not packed: [N, K] at any strides.
const uint TILE_RAW_F32 = 16u, TILE_RAW_F16 = 17u, TILE_RAW_BF16 = 18u;

ORR_TILE_FN uint tile_code_bytes(uint type) {
    return type == TILE_F32 ? 4096u : type == TILE_F16 || type == TILE_BF16 ? 2048u : type == TILE_Q8_0 ? 1024u : type == TILE_Q2_K || type == TILE_Q3_K ? 256u : 512u;
}
ORR_TILE_FN uint tile_high_bytes(uint type) {
    return type == TILE_Q6_K ? 256u : type == TILE_Q5_0 || type == TILE_Q5_1 || type == TILE_Q5_K || type == TILE_Q3_K ? 128u : 0u;
}
ORR_TILE_FN uint tile_param_bytes(uint type) {
    return type <= TILE_BF16 ? 0u : type == TILE_Q4_1 || type == TILE_Q5_1 ? 128u : type == TILE_IQ4_XS || type == TILE_MXFP4 ? 32u : 64u;
}
// Behind 8 tiles.
ORR_TILE_FN uint tile_super_bytes(uint type) {
    return type == TILE_Q2_K || type == TILE_Q4_K || type == TILE_Q5_K ? 128u : type == TILE_Q3_K || type == TILE_Q6_K || type == TILE_IQ4_XS ? 64u : 0u;
}
ORR_TILE_FN uint tile_bytes(uint type) { return tile_code_bytes(type) + tile_high_bytes(type) + tile_param_bytes(type); }
ORR_TILE_FN uint tile_row_bytes(uint type, uint blocks) { return blocks * tile_bytes(type) + blocks / 8u * tile_super_bytes(type); }
ORR_TILE_FN uint tile_at(uint type, uint block) { return block * tile_bytes(type) + block / 8u * tile_super_bytes(type); }
// Of the block's tile: where its 256 columns' plane lies.
ORR_TILE_FN uint tile_super_at(uint type, uint block) { return (block / 8u * 8u + 8u) * tile_bytes(type) + block / 8u * tile_super_bytes(type); }

#ifdef __cplusplus
}  // namespace orrery::shaders
#endif
#endif
