// A row of x as products read it, normalised where NORM says so. HALVES: 64 x pairs of blocks f16, zeros past k; numbers that f16 does not hold become
// its largest; 1: each four in the order 0 2 1 3 (product_halves.glsl), 2: in their own. 0: k f32. A workgroup takes one row. Params: product_params.h,
// y0 is the destination. What an invocation has of a row is read at once, without a branch between readings: drivers wait for each where branches meet.
#define ORR_GROUP 256
layout(local_size_x = ORR_GROUP) in;
#include "common/product.glsl"
#include "common/reduce.glsl"
layout(constant_id = 9) const uint HALVES = 1;

const uint EACH = 4;  // of four columns, an invocation's at once
vec4 held[EACH];

// Columns of the invocation in the piece of 16 x ORR_GROUP that begins at `from`.
uint column(uint from, uint i) { return from + (i * ORR_GROUP + gl_LocalInvocationID.x) * 4u; }

void read(uint row, uint from) {
    const uint last = (k - 1u) / 4u * 4u;
    if (((uvec2(x).x >> 2 | row | k) & 3u) == 0u) {
        [[unroll]] for (uint i = 0; i < EACH; i++) held[i] = F32x4(uvec2(x)).v[(row + min(column(from, i), last)) >> 2];
    } else {
        [[unroll]] for (uint i = 0; i < EACH; i++)
            [[unroll]] for (uint e = 0; e < 4u; e++) held[i][e] = x.v[row + min(column(from, i) + e, k - 1u)];
    }
    [[unroll]] for (uint i = 0; i < EACH; i++)
        [[unroll]] for (uint e = 0; e < 4u; e++) held[i][e] = column(from, i) + e < k ? held[i][e] : 0.0;
}

vec4 weights[EACH];  // of the norm
void read_weights(uint from) {
    if (norm == uvec2(0)) {
        [[unroll]] for (uint i = 0; i < EACH; i++) weights[i] = vec4(1);
        return;
    }
    [[unroll]] for (uint i = 0; i < EACH; i++)
        [[unroll]] for (uint e = 0; e < 4u; e++) weights[i][e] = load_float(norm, min(column(from, i) + e, k - 1u), NORM) + NORM_OFFSET;
}

void write(uint t, uint c, vec4 v) {
    if (HALVES == 0u) {
        [[unroll]] for (uint e = 0; e < 4u; e++)
            if (c + e < k) y0.v[t * k + c + e] = v[e];
        return;
    }
    const uint quads = (k + 63u) / 64u * 16u;
    v = mix(v, sign(v) * 65504.0, greaterThan(abs(v), vec4(65504.0)));  // not what is NaN
    if (HALVES == 2u) v = v.xzyw;
    if (c / 4u < quads) U32x2(uvec2(y0)).v[t * quads + c / 4u] = uvec2(packHalf2x16(v.xz), packHalf2x16(v.yw));
}

void main() {
    const uint t = gl_WorkGroupID.y * gl_NumWorkGroups.x + gl_WorkGroupID.x, row = t * x_stride, piece = EACH * 4u * ORR_GROUP;
    if (t >= tokens) return;
    float r = 1;
    if (NORM != 0u) {
        float square = 0;
        read_weights(0);
        for (uint from = 0; from < k; from += piece) {
            read(row, from);
            [[unroll]] for (uint i = 0; i < EACH; i++) square = dot4(held[i], held[i], square);
        }
        r = 1.0 / sqrt(group_sum(square) / float(k) + EPS);
    }
    const uint end = HALVES != 0u ? (k + 63u) / 64u * 64u : k;
    for (uint from = 0; from < end; from += piece) {
        if (NORM == 0u || k > piece) read(row, from);
        if (NORM != 0u && k > piece) read_weights(from);
        [[unroll]] for (uint i = 0; i < EACH; i++) {
            const uint c = column(from, i);
            if (c >= end) continue;
            write(t, c, NORM != 0u ? held[i] * r * weights[i] : held[i]);
        }
    }
}
