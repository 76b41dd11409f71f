// Ways through strided operands. Axes count from the inside outwards, merged where every operand steps alike; extents and strides
// in elements. extent[] is that of the push constants and holds all axes but the outermost.
#ifndef ORR_STRIDED_GLSL
#define ORR_STRIDED_GLSL
#include "common/memory.glsl"

// The element that this invocation works on: groups lie along two axes of the grid.
uint flat_index() { return (gl_WorkGroupID.y * gl_NumWorkGroups.x + gl_WorkGroupID.x) * gl_WorkGroupSize.x + gl_LocalInvocationID.x; }

// Declares the offset of element i for each operand. axes: how many are used, 1 or more.
#define ORR_WALK1(i, axes, a, stride_a)                    \
    uint a = 0;                                            \
    {                                                      \
        uint rest_ = (i);                                  \
        for (uint k_ = 0; k_ + 1 < (axes); k_++) {         \
            const uint at_ = rest_ % extent[k_];           \
            rest_ /= extent[k_];                           \
            a += at_ * stride_a[k_];                       \
        }                                                  \
        a += rest_ * stride_a[(axes) - 1];                 \
    }
#define ORR_WALK2(i, axes, a, stride_a, b, stride_b)       \
    uint a = 0, b = 0;                                     \
    {                                                      \
        uint rest_ = (i);                                  \
        for (uint k_ = 0; k_ + 1 < (axes); k_++) {         \
            const uint at_ = rest_ % extent[k_];           \
            rest_ /= extent[k_];                           \
            a += at_ * stride_a[k_];                       \
            b += at_ * stride_b[k_];                       \
        }                                                  \
        a += rest_ * stride_a[(axes) - 1];                 \
        b += rest_ * stride_b[(axes) - 1];                 \
    }
#define ORR_WALK3(i, axes, a, stride_a, b, stride_b, c, stride_c) \
    uint a = 0, b = 0, c = 0;                              \
    {                                                      \
        uint rest_ = (i);                                  \
        for (uint k_ = 0; k_ + 1 < (axes); k_++) {         \
            const uint at_ = rest_ % extent[k_];           \
            rest_ /= extent[k_];                           \
            a += at_ * stride_a[k_];                       \
            b += at_ * stride_b[k_];                       \
            c += at_ * stride_c[k_];                       \
        }                                                  \
        a += rest_ * stride_a[(axes) - 1];                 \
        b += rest_ * stride_b[(axes) - 1];                 \
        c += rest_ * stride_c[(axes) - 1];                 \
    }

// Byte i of memory, cut out of the word that holds it: needs no 8-bit storage.
uint load_byte(uvec2 base, uint i) {
    const uvec2 at = address_plus(base, i);
    return U32(uvec2(at.x & ~3u, at.y)).v[0] >> ((at.x & 3u) * 8u) & 255u;
}
// 16-bit word i of memory, likewise.
uint load_half(uvec2 base, uint i) {
    const uvec2 at = address_plus(base, i * 2u);
    return U32(uvec2(at.x & ~3u, at.y)).v[0] >> ((at.x & 2u) * 8u) & 0xffffu;
}

// Elements that are only moved: `Unit` is memory of elements of ORR_UNIT bytes, ORR_ZERO one of them.
#ifdef ORR_UNIT
#if ORR_UNIT == 1
#extension GL_EXT_shader_8bit_storage : require
layout(buffer_reference, scalar, buffer_reference_align = 1) buffer Unit { uint8_t v[]; };
#define ORR_ZERO uint8_t(0)
#elif ORR_UNIT == 2
#extension GL_EXT_shader_16bit_storage : require
layout(buffer_reference, scalar, buffer_reference_align = 2) buffer Unit { uint16_t v[]; };
#define ORR_ZERO uint16_t(0)
#elif ORR_UNIT == 4
layout(buffer_reference, scalar, buffer_reference_align = 4) buffer Unit { uint v[]; };
#define ORR_ZERO 0u
#elif ORR_UNIT == 8
layout(buffer_reference, scalar, buffer_reference_align = 8) buffer Unit { uvec2 v[]; };
#define ORR_ZERO uvec2(0)
#elif ORR_UNIT == 16
layout(buffer_reference, scalar, buffer_reference_align = 16) buffer Unit { uvec4 v[]; };
#define ORR_ZERO uvec4(0)
#endif
#endif
#endif
