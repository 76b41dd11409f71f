// Weights as products in f16 read them: a block's columns four by four in the order 0 2 1 3, since two neighbouring codes of a word are 16 bits apart.
// A code under the exponent of 1024 is 1024 + code.
#ifndef ORR_PRODUCT_HALVES_GLSL
#define ORR_PRODUCT_HALVES_GLSL
#extension GL_EXT_shader_explicit_arithmetic_types : require
#include "common/product.glsl"
shared uint table[16];  // f16 bits
void fill_table() {
    if (tile_has_table(TYPE0) && gl_LocalInvocationID.x < 16u) table[gl_LocalInvocationID.x] = packHalf2x16(vec2(tile_table(TYPE0, gl_LocalInvocationID.x), 0));
}

// Words of one row's half block: quads 2u, 2u + 1, 2u + 4, 2u + 5.
struct Raw {
    uvec4 a, b, c, d;
    uvec2 high, params;
};

Raw load_raw(uint type, uvec2 row_tile, uint block, uint row, uint u) {
    const uvec2 tile = address_plus(row_tile, tile_at(type, block)), high = address_plus(tile, tile_code_bytes(type));
    Raw r;
    r.a = r.b = r.c = r.d = uvec4(0);
    r.high = r.params = uvec2(0);
    if (type == TILE_F32) {
        r.a = U32x4(tile).v[(2u * u) * 32u + row];
        r.b = U32x4(tile).v[(2u * u + 1u) * 32u + row];
        r.c = U32x4(tile).v[(2u * u + 4u) * 32u + row];
        r.d = U32x4(tile).v[(2u * u + 5u) * 32u + row];
        return r;
    }
    if (tile_is_float(type)) {
        r.a = U32x4(tile).v[u * 32u + row];
        r.b = U32x4(tile).v[(u + 2u) * 32u + row];
        return r;
    }
    if (tile_code_bytes(type) == 256u) r.a.xy = U32x2(tile).v[row];
    else r.a.xy = U32x2(tile).v[row * 2u + u];
    if (type == TILE_Q8_0) r.a.zw = U32x2(tile).v[64u + row * 2u + u];
    if (tile_high_bytes(type) == 128u) r.high.x = U32(high).v[row];
    if (tile_high_bytes(type) == 256u) r.high = U32x2(high).v[row];
    r.params = tile_params(type, row_tile, block, row);
    return r;
}

// Both halves, u = 0 and 1, of types whose planes hold them side by side.
void load_raw_pair(uint type, uvec2 row_tile, uint block, uint row, out Raw first, out Raw second) {
    if (type == TILE_F32 || tile_is_float(type) || tile_code_bytes(type) == 256u) {
        first = load_raw(type, row_tile, block, row, 0u);
        second = load_raw(type, row_tile, block, row, 1u);
        return;
    }
    const uvec2 tile = address_plus(row_tile, tile_at(type, block)), high = address_plus(tile, tile_code_bytes(type));
    const uvec4 low_words = U32x4(tile).v[row], high_words = type == TILE_Q8_0 ? U32x4(tile).v[32u + row] : uvec4(0);
    first.b = first.c = first.d = uvec4(0);
    first.high = uvec2(0);
    if (tile_high_bytes(type) == 128u) first.high.x = U32(high).v[row];
    if (tile_high_bytes(type) == 256u) first.high = U32x2(high).v[row];
    first.params = tile_params(type, row_tile, block, row);
    second = first;
    first.a = uvec4(low_words.xy, high_words.xy);
    second.a = uvec4(low_words.zw, high_words.zw);
}

// Codes of quad 2u + i (i < 2) or 2u + i + 2.
uint raw_codes(uint type, Raw r, uint u, uint i) {
    const uint q = 2u * u + (i & 1u) + (i >= 2u ? 4u : 0u);
    if (type == TILE_Q8_0) return r.a[i];
    if (tile_code_bytes(type) == 256u) {
        uint c = tile_pairs(i < 2u ? r.a.x : r.a.y, q);
        if (type == TILE_Q3_K) c |= tile_bits(r.high.x, q) << 2;
        return c;
    }
    uint c = tile_nibbles(r.a[i & 1u], i < 2u ? 0u : 4u);
    if (tile_high_bytes(type) == 128u) c |= tile_bits(r.high.x, q) << 4;
    if (tile_high_bytes(type) == 256u) c |= tile_pairs(i < 2u ? r.high.x : r.high.y, q) << 4;
    return c;
}

// Of a type's codes.
float tile_centre(uint type) { return type == TILE_Q2_K ? 2.0 : type == TILE_Q3_K ? 4.0 : type == TILE_Q4_K ? 8.0 : type == TILE_Q5_K ? 16.0 : 32.0; }

uvec2 halves(vec4 v) { return uvec2(packHalf2x16(v.xz), packHalf2x16(v.yw)); }

// Four codes. s, o: scale and offset. Where they are products themselves they are rounded to f16, the offset behind a code in the middle, where it is small.
uvec2 codes_f16(uint type, uint c, float s, float o) {
    const bool once = tile_super_bytes(type) == 0u;
    if (tile_has_table(type)) {
        const uvec2 w = uvec2(table[c & 15u] | table[c >> 16 & 15u] << 16, table[c >> 8 & 15u] | table[c >> 24 & 15u] << 16);
        if (!once) return uvec2(packHalf2x16(unpackHalf2x16(w.x) * s), packHalf2x16(unpackHalf2x16(w.y) * s));
        return uvec2(packFloat2x16(unpackFloat2x16(w.x) * float16_t(s)), packFloat2x16(unpackFloat2x16(w.y) * float16_t(s)));
    }
    const uvec2 above = uvec2((c & 0x00ff00ffu) | 0x64006400u, (c >> 8 & 0x00ff00ffu) | 0x64006400u);
    if (!once) {
        const float centre = tile_centre(type);
        const f16vec2 even = unpackFloat2x16(above.x) - float16_t(1024.0 + centre), odd = unpackFloat2x16(above.y) - float16_t(1024.0 + centre);
        const f16vec2 less = f16vec2(fma(centre, s, o));
        return uvec2(packFloat2x16(fma(even, f16vec2(s), less)), packFloat2x16(fma(odd, f16vec2(s), less)));
    }
    const f16vec2 even = unpackFloat2x16(above.x) - float16_t(1024), odd = unpackFloat2x16(above.y) - float16_t(1024);
    return uvec2(packFloat2x16(fma(even, f16vec2(s), f16vec2(o))), packFloat2x16(fma(odd, f16vec2(s), f16vec2(o))));
}

uvec2 quad_f16(uint type, Raw r, uint u, uint i, float s, float o) {
    if (type == TILE_F32) return halves(uintBitsToFloat(i == 0u ? r.a : i == 1u ? r.b : i == 2u ? r.c : r.d));
    if (tile_is_float(type)) {
        const uvec4 v = i < 2u ? r.a : r.b;
        const uvec2 w = (i & 1u) == 0u ? v.xy : v.zw;
        if (type == TILE_BF16) return halves(vec4(bf16x2(w.x), bf16x2(w.y)));
        return uvec2((w.x & 0xffffu) | w.y << 16, w.x >> 16 | (w.y & 0xffff0000u));
    }
    return codes_f16(type, raw_codes(type, r, u, i), s, o);
}

// Columns 8 (u + 2 h) … of the block, h 0 or 1.
uvec4 half_of_block(uint type, Raw r, uint u, uint h) {
    float s = 0, o = 0;
    if (!tile_is_float(type)) {
        const vec4 so = tile_scales(type, r.params);
        s = h == 0u ? so.x : so.z, o = h == 0u ? so.y : so.w;
    }
    return uvec4(quad_f16(type, r, u, h * 2u, s, o), quad_f16(type, r, u, h * 2u + 1u, s, o));
}
#endif
