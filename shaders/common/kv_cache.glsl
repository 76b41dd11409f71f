// Rows of D elements in the pages of a cache: [Hkv][page_tokens][D] of one type, f32, f16, bf16 or q8_0.
#ifndef ORR_KV_CACHE_GLSL
#define ORR_KV_CACHE_GLSL
#include "common/memory.glsl"

const uint ORR_Q8_0 = 256;  // no number of base.h; blocks of 32 elements in 34 bytes

uint row_bytes(uint type, uint D) { return type == ORR_F32 ? D * 4 : type == ORR_Q8_0 ? D / 32 * 34 : D * 2; }

// Address of a token's row; 0 where the page is gone or the token past the table.
uvec2 cache_row(Paged cache, uint token, uint h, uint D, uint type) {
    if (token >= uint(cache.tokens)) return uvec2(0);
    const uint page = token / uint(cache.page_tokens), slot = token % uint(cache.page_tokens);
    const uvec2 base = Addresses(cache.pages).v[page];
    if (base == uvec2(0)) return base;
    return address_plus(base, (h * uint(cache.page_tokens) + slot) * row_bytes(type, D));
}

// Of a token that is there. Without a branch: where branches meet, drivers wait for all that is on its way.
uvec2 cache_row_of(Paged cache, uint token, uint h, uint D, uint type) {
    const uint tokens = uint(cache.page_tokens), page = token / tokens;
    return address_plus(Addresses(cache.pages).v[page], (h * tokens + token - page * tokens) * row_bytes(type, D));
}

// Four bytes at an address that is a multiple of 2.
uint word_at(uvec2 a) {
    if ((a.x & 2u) == 0u) return U32(a).v[0];
    const uvec2 low = uvec2(a.x - 2u, a.y);
    return U32(low).v[0] >> 16 | U32(low).v[1] << 16;
}

// Elements d .. d + 3 of a row, zero from D on; d is a multiple of 4. wide: so are D and the row's place among elements.
vec4 cache_load4(uvec2 row, uint d, uint D, uint type, bool wide) {
    if (type == ORR_Q8_0) {
        const uvec2 block = address_plus(row, d / 32 * 34);
        const int q = int(word_at(address_plus(block, 2 + d % 32)));
        return load_float(block, 0, ORR_F16) * vec4(q << 24 >> 24, q << 16 >> 24, q << 8 >> 24, q >> 24);
    }
    if (wide) {
        if (type == ORR_F32) return F32x4(row).v[d / 4];
        const uvec2 w = uvec2(U32(row).v[d / 2], U32(row).v[d / 2 + 1]);
        return type == ORR_F16 ? vec4(unpackHalf2x16(w.x), unpackHalf2x16(w.y)) : vec4(bf16x2(w.x), bf16x2(w.y));
    }
    vec4 x = vec4(0);
    [[unroll]] for (uint e = 0; e < 4; e++)
        if (d + e < D) x[e] = load_float(row, d + e, type);
    return x;
}

// Elements d .. d + 7 of a row; D and d are multiples of 8, rows begin at multiples of 16 bytes (q8_0: 2).
void cache_load8(uvec2 row, uint d, uint type, out vec4 low, out vec4 high) {
    if (type == ORR_F32) {
        low = F32x4(row).v[d / 4];
        high = F32x4(row).v[d / 4 + 1];
    } else if (type == ORR_Q8_0) {
        low = cache_load4(row, d, d + 8, type, false);
        high = cache_load4(row, d + 4, d + 8, type, false);
    } else {
        const uvec4 w = U32x4(row).v[d / 8];
        low = type == ORR_F16 ? vec4(unpackHalf2x16(w.x), unpackHalf2x16(w.y)) : vec4(bf16x2(w.x), bf16x2(w.y));
        high = type == ORR_F16 ? vec4(unpackHalf2x16(w.z), unpackHalf2x16(w.w)) : vec4(bf16x2(w.z), bf16x2(w.w));
    }
}
#endif
