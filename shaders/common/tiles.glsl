// Reading tiles (tiles.h). The type is a constant in every call, so that compilers keep one branch.
// w = scale * code + offset; scale and offset of columns 0 … 15 in .xy, of 16 … 31 in .zw. Layout source: the public GGUF block definitions.
#ifndef ORR_TILES_GLSL
#define ORR_TILES_GLSL
#include "common/memory.glsl"
#include "common/tiles.h"
layout(buffer_reference, scalar, buffer_reference_align = 8) buffer U32x2 { uvec2 v[]; };

const float orr_iq4_values[16] = float[](-127, -104, -83, -65, -49, -35, -22, -10, 1, 13, 25, 38, 53, 69, 89, 113);
const float orr_mxfp4_values[16] = float[](0, 1, 2, 3, 4, 6, 8, 12, 0, -1, -2, -3, -4, -6, -8, -12);  // twice the E2M1 value

bool tile_is_float(uint type) { return type <= TILE_BF16; }
bool tile_has_table(uint type) { return type >= TILE_IQ4_NL && type <= TILE_MXFP4; }
bool tile_has_nibbles(uint type) { return tile_code_bytes(type) == 512u && tile_high_bytes(type) == 0u; }
float tile_table(uint type, uint code) { return type == TILE_MXFP4 ? orr_mxfp4_values[code] : orr_iq4_values[code]; }

// Address of row tile `index`.
uvec2 tile_row(uvec2 base, uint type, uint blocks, uint index) {
    uint high, low, carry;
    umulExtended(index, tile_row_bytes(type, blocks), high, low);
    low = uaddCarry(base.x, low, carry);
    return uvec2(low, base.y + high + carry);
}

int tile_signed(uint byte) { return int(byte << 24) >> 24; }

// Element `row` of a plane of 16-bit or 8-bit numbers.
uint tile_u16(uvec2 plane, uint row) { return U32(plane).v[row >> 1] >> ((row & 1u) * 16u) & 0xffffu; }
uint tile_u8(uvec2 plane, uint row) { return U32(plane).v[row >> 2] >> ((row & 3u) * 8u) & 0xffu; }

// A block's parameter and its 256 columns', as they lie.
uvec2 tile_params(uint type, uvec2 row_tile, uint block, uint row) {
    const uvec2 params = address_plus(row_tile, tile_at(type, block) + tile_code_bytes(type) + tile_high_bytes(type));
    const uint bytes = tile_param_bytes(type), super_bytes = tile_super_bytes(type);
    uvec2 p = uvec2(0);
    if (bytes == 128u) p.x = U32(params).v[row];
    else if (bytes == 64u) p.x = tile_u16(params, row);
    else if (bytes == 32u) p.x = tile_u8(params, row);
    if (super_bytes != 0u) {
        const uvec2 super_plane = address_plus(row_tile, tile_super_at(type, block));
        p.y = super_bytes == 128u ? U32(super_plane).v[row] : tile_u16(super_plane, row);
    }
    return p;
}

vec4 tile_scales(uint type, uvec2 p) {
    const vec2 d = unpackHalf2x16(p.x), shared_d = unpackHalf2x16(p.y);
    vec2 s, o;
    if (type == TILE_Q4_0) return vec4(d.x, -8.0 * d.x, d.x, -8.0 * d.x);
    if (type == TILE_Q5_0) return vec4(d.x, -16.0 * d.x, d.x, -16.0 * d.x);
    if (type == TILE_Q8_0) return vec4(d.x, -128.0 * d.x, d.x, -128.0 * d.x);
    if (type == TILE_Q4_1 || type == TILE_Q5_1) return d.xyxy;
    if (type == TILE_IQ4_NL) return vec4(d.x, 0, d.x, 0);
    if (type == TILE_MXFP4) {
        s.x = uintBitsToFloat(p.x < 2u ? 0x00200000u << p.x : (p.x - 1u) << 23);
        return vec4(s.x, 0, s.x, 0);
    }
    if (type == TILE_IQ4_XS) {
        s.x = shared_d.x * float(tile_signed(p.x));
        return vec4(s.x, 0, s.x, 0);
    }
    if (type == TILE_Q4_K || type == TILE_Q5_K) {
        s.x = shared_d.x * float(p.x & 0xffu);
        o.x = -shared_d.y * float(p.x >> 8);
        return vec4(s.x, o.x, s.x, o.x);
    }
    if (type == TILE_Q2_K) {
        s = shared_d.x * vec2(float(p.x & 15u), float(p.x >> 8 & 15u));
        o = -shared_d.y * vec2(float(p.x >> 4 & 15u), float(p.x >> 12));
        return vec4(s.x, o.x, s.y, o.y);
    }
    s = shared_d.x * vec2(float(tile_signed(p.x & 0xffu)), float(tile_signed(p.x >> 8)));  // Q3_K, Q6_K
    o = s * (type == TILE_Q3_K ? -4.0 : -32.0);
    return vec4(s.x, o.x, s.y, o.y);
}

// Quad q of a block type's codes, a byte each, of what the planes hold.
uint tile_nibbles(uint w, uint q) { return w >> (q < 4u ? 0u : 4u) & 0x0f0f0f0fu; }
uint tile_pairs(uint w, uint q) { return w >> (2u * (q & 3u)) & 0x03030303u; }
uint tile_bits(uint w, uint q) { return w >> q & 0x01010101u; }

// Quad q of one row of a tile, words read one by one: for shaders that share a tile out.
uint tile_quad_codes(uint type, uvec2 tile, uint row, uint q) {
    const uvec2 high = address_plus(tile, tile_code_bytes(type));
    if (type == TILE_Q8_0) return U32(tile).v[(q >> 2) * 128u + row * 4u + (q & 3u)];
    if (tile_code_bytes(type) == 256u) {
        uint c = tile_pairs(U32(tile).v[row * 2u + (q >> 2)], q);
        if (type == TILE_Q3_K) c |= tile_bits(U32(high).v[row], q) << 2;
        return c;
    }
    uint c = tile_nibbles(U32(tile).v[row * 4u + (q & 3u)], q);
    if (tile_high_bytes(type) == 128u) c |= tile_bits(U32(high).v[row], q) << 4;
    if (tile_high_bytes(type) == 256u) c |= tile_pairs(U32(high).v[row * 2u + (q >> 2)], q) << 4;
    return c;
}

vec4 tile_float_quad(uint type, uvec2 tile, uint row, uint q) {
    if (type == TILE_F32) return uintBitsToFloat(U32x4(tile).v[q * 32u + row]);
    const uvec2 w = U32x2(tile).v[((q >> 1) * 32u + row) * 2u + (q & 1u)];
    return type == TILE_F16 ? vec4(unpackHalf2x16(w.x), unpackHalf2x16(w.y)) : vec4(bf16x2(w.x), bf16x2(w.y));
}

// Quad q of the row's block as numbers.
vec4 tile_quad(uint type, uvec2 tile, uint row, uint q, vec4 scales) {
    if (tile_is_float(type)) return tile_float_quad(type, tile, row, q);
    const uint c = tile_quad_codes(type, tile, row, q);
    const uvec4 bytes = uvec4(c & 0xffu, c >> 8 & 0xffu, c >> 16 & 0xffu, c >> 24);
    const vec2 so = q < 4u ? scales.xy : scales.zw;
    if (tile_has_table(type)) return so.x * vec4(tile_table(type, bytes.x), tile_table(type, bytes.y), tile_table(type, bytes.z), tile_table(type, bytes.w));
    return so.x * vec4(bytes) + so.y;
}
#endif
