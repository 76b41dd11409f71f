// f16 in integers: packHalf2x16 may round as the device likes, and 16-bit members of buffers are a feature.
#ifndef ORR_HALF_GLSL
#define ORR_HALF_GLSL

// To nearest, ties to even, as IEEE 754 has it; NaN stays one.
uint half_bits(float x) {
    const uint u = floatBitsToUint(x), sign = (u >> 16) & 0x8000u, a = u & 0x7fffffffu;
    if (a > 0x7f800000u) return sign | 0x7e00u | ((a >> 13) & 0x1ffu);
    if (a >= 0x47800000u) return sign | 0x7c00u;
    if (a < 0x38800000u) return sign | uint(roundEven(uintBitsToFloat(a) * 16777216.0));  // below 2^-14: steps of 2^-24
    return sign | ((a + 0xfffu + ((a >> 13) & 1u) - 0x38000000u) >> 13);
}
#endif
