// Keys and values in f16 for matrix.comp and matrix_fragments.comp, BLOCK at a time.
const uint BLOCK = 32;

uvec2 narrowed(vec4 x) {
    x = clamp(x, -65504.0, 65504.0);
    return uvec2(packFloat2x16(f16vec2(x.xy)), packFloat2x16(f16vec2(x.zw)));
}

// Eight elements of a cached row.
uvec4 read8(uvec2 row, uint d, uint type) {
    if (type == ORR_F16) return U32x4(row).v[d / 8];
    vec4 low, high;
    cache_load8(row, d, type, low, high);
    return uvec4(narrowed(low), narrowed(high));
}

// What an invocation of 128 brings of the next keys and values, of one row each: on its way while the last ones are worked on, which no branch may
// interrupt (where branches meet, drivers wait for all that is on its way). Where the row lies is found a block earlier. Keys that are not there are
// read from the nearest that is.
const uint K_EACH = (D / 8 + 3) / 4, V_EACH = (Dv / 8 + 3) / 4;
uvec2 k_from, v_from;
uvec4 k_next[K_EACH], v_next[V_EACH];

void find(Keys keys, uint b, uint h, int block, uint i) {
    const uint token = uint(clamp(block + int(i / 4), keys.first, keys.end - 1));
    k_from = key_row_of(keys, b, h, token);
    v_from = value_row_of(keys, b, h, token);
}
void fetch(uint i) {
    [[unroll]] for (uint e = 0; e < K_EACH; e++) k_next[e] = read8(k_from, min(e * 4 + i % 4, D / 8 - 1) * 8, K_TYPE);
    [[unroll]] for (uint e = 0; e < V_EACH; e++) v_next[e] = read8(v_from, min(e * 4 + i % 4, Dv / 8 - 1) * 8, V_TYPE);
}
