// x for packed integer dot products: 16-bit integers by blocks of 32 columns, the largest magnitude 32512, each split into two signed bytes; off by 1.5e-5
// of the block's largest at most. What is not finite makes its block NaN. Four neighbours make a block, 8 columns each. Needs FIXED_GROUP, the size of
// the workgroup.
#ifndef ORR_PRODUCT_FIXED_GLSL
#define ORR_PRODUCT_FIXED_GLSL
#include "common/product.glsl"
shared uint fixed_most[FIXED_GROUP];
shared ivec2 fixed_sums[FIXED_GROUP];  // of the integers; the squares' bits

struct FixedQuarter {
    uvec2 high, low;  // bytes of 8 columns
    vec4 told;        // of the whole block, for the first of the four: scale; sums of either half; sum of squares, with NORM
};

// Of 8 columns, the norm's weights in them, and the sum of their squares without these. To be reached by the whole workgroup.
FixedQuarter fixed_quarter_of(vec4 v[2], float square) {
    const uint id = gl_LocalInvocationID.x, four = id & ~3u;
    const uvec4 m = max(floatBitsToUint(v[0]) & 0x7fffffffu, floatBitsToUint(v[1]) & 0x7fffffffu);  // magnitudes order as their bits, NaN last
    fixed_most[id] = max(max(m.x, m.y), max(m.z, m.w));
    barrier();
    const uint most = max(max(fixed_most[four], fixed_most[four + 1u]), max(fixed_most[four + 2u], fixed_most[four + 3u]));
    const bool finite = most < 0x7f800000u, used = finite && most > 0x0a000000u;
    const float unit = finite ? used ? uintBitsToFloat(most) / 32512.0 : 0.0 : uintBitsToFloat(0x7fc00000u);
    const float inverse = used ? 32512.0 / uintBitsToFloat(most) : 0.0;
    FixedQuarter f;
    ivec4 sum = ivec4(0);
    [[unroll]] for (uint i = 0; i < 2u; i++) {
        const ivec4 q = used ? ivec4(roundEven(v[i] * inverse)) : ivec4(0);
        const ivec4 high = (q + 128) >> 8, low = q - (high << 8);
        const uvec4 hb = uvec4(high) & 0xffu, lb = uvec4(low) & 0xffu;
        sum += q;
        f.high[i] = hb.x | hb.y << 8 | hb.z << 16 | hb.w << 24;
        f.low[i] = lb.x | lb.y << 8 | lb.z << 16 | lb.w << 24;
    }
    fixed_sums[id] = ivec2((sum.x + sum.y) + (sum.z + sum.w), floatBitsToInt(square));
    barrier();
    const ivec2 a = fixed_sums[four], b = fixed_sums[four + 1u], d = fixed_sums[four + 2u], e = fixed_sums[four + 3u];
    f.told = vec4(unit, unit * float(a.x + b.x), unit * float(d.x + e.x), (intBitsToFloat(a.y) + intBitsToFloat(b.y)) + (intBitsToFloat(d.y) + intBitsToFloat(e.y)));
    return f;
}

// Columns c … c + 7 of row t. To be reached by the whole workgroup.
FixedQuarter fixed_quarter(uint t, uint c) {
    vec4 v[2] = vec4[](load_x(t, c), load_x(t, c + 4u));
    const float square = NORM != 0u ? apply_norm(v[1], c + 4u, apply_norm(v[0], c, 0)) : 0.0;
    return fixed_quarter_of(v, square);
}
#endif
