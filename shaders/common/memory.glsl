// Memory that shaders reach by address. The alignment is what the host promises for a tensor's first element, at least.
#ifndef ORR_MEMORY_GLSL
#define ORR_MEMORY_GLSL
#extension GL_EXT_buffer_reference : require
#extension GL_EXT_buffer_reference_uvec2 : require
#extension GL_EXT_scalar_block_layout : require
#extension GL_EXT_control_flow_attributes : require

layout(buffer_reference, scalar, buffer_reference_align = 4) buffer F32 { float v[]; };
layout(buffer_reference, scalar, buffer_reference_align = 16) buffer F32x4 { vec4 v[]; };
layout(buffer_reference, scalar, buffer_reference_align = 4) buffer I32 { int v[]; };
layout(buffer_reference, scalar, buffer_reference_align = 4) buffer U32 { uint v[]; };
layout(buffer_reference, scalar, buffer_reference_align = 16) buffer U32x4 { uvec4 v[]; };
// Addresses, two words each.
layout(buffer_reference, scalar, buffer_reference_align = 8) buffer Addresses { uvec2 v[]; };

// orr_vulkan_paged of ext/vulkan.h, one for each batch row.
struct Paged {
    uvec2 pages;
    int past, tokens, first, page_tokens;  // tokens: its length
};
layout(buffer_reference, scalar, buffer_reference_align = 8) buffer PagedRows { Paged v[]; };

// A base address and a byte offset below 4 GiB.
uvec2 address_plus(uvec2 base, uint bytes) {
    uint carry;
    const uint low = uaddCarry(base.x, bytes, carry);
    return uvec2(low, base.y + carry);
}

// Two 16-bit numbers in a word, the low half first.
vec2 bf16x2(uint w) { return vec2(uintBitsToFloat(w << 16), uintBitsToFloat(w & 0xffff0000u)); }
uint bf16_bits(float x) {  // to nearest even; NaN stays one
    const uint u = floatBitsToUint(x);
    return isnan(x) ? (u >> 16) | 64u : (u + 0x7fffu + ((u >> 16) & 1u)) >> 16;
}

// Element i of memory of a plain type, whatever its width: the word that holds it, cut.
const uint ORR_F32 = 1, ORR_F16 = 2, ORR_BF16 = 3, ORR_I8 = 5, ORR_U8 = 6, ORR_I16 = 7, ORR_I32 = 8, ORR_I64 = 9, ORR_BOOL = 10, ORR_U16 = 11, ORR_U32 = 12;  // ORR_TYPE_* of base.h
float load_float(uvec2 base, uint i, uint type) {
    if (type == ORR_F32) return F32(base).v[i];
    if ((base.x & 2u) != 0u) {  // words begin two bytes earlier
        base = uvec2(base.x - 2u, base.y);
        i += 1u;
    }
    const uint w = U32(base).v[i >> 1] >> ((i & 1u) * 16u);
    return type == ORR_F16 ? unpackHalf2x16(w).x : uintBitsToFloat(w << 16);
}
#endif
