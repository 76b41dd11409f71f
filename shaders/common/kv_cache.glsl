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
#endif
