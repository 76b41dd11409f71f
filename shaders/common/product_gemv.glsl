// A few rows of x times packed weights: one pass over the weights for up to 8 rows. A workgroup takes LANES x EACH weight rows (gated: of each weight)
// at a time and goes on by the number of workgroups: invocation i owns rows i % LANES + LANES e and the blocks of 32 columns congruent to i / LANES
// modulo PARTS. With many rows of x, several weight rows an invocation (EACH) make one reading of x serve more.
// x and its sums by 16 columns lie in shared memory, where neighbours read one address; put there once where SPAN holds all of k. f32 throughout.
// Codes become floats without a conversion instruction: bits put below the exponent of 1 give 1 + code / 2^bits; the sum of x takes the 1 away.
// The sum of one element runs over k in an order of PARTS alone, not of ROWS, EACH, SPAN or STEP, in explicit fused multiply-adds.
// With FIXED, for weights that are codes: x as integers (product_fixed.glsl) in packed integer dot products, which are exact.
// With NORM the weights of the norm go into x, and the root of the mean square into the result.
#ifdef FIXED
#extension GL_EXT_integer_dot_product : require
#endif
#include "common/product.glsl"
layout(constant_id = 9) const uint LANES = 32;    // 8, 16, 32
layout(constant_id = 10) const uint ROWS = 1;     // of x: 1, 2, 4, 8
layout(constant_id = 11) const uint SPAN = 2048; // columns of x at a time, a multiple of 32 x STEP x PARTS
layout(constant_id = 12) const uint GROUP = 256;
layout(constant_id = 13) const uint EACH = 1;     // 1, 2, 4; gated 1, 2
layout(constant_id = 14) const uint PREPARED = 0;
layout(constant_id = 15) const uint WHOLE = 0;    // SPAN holds all of k in whole steps: no branch interrupts what is on its way
layout(constant_id = 16) const uint ALIGNED = 0;  // x and the norm's weights, in f32, are read four at a time, k is a multiple of 16
layout(constant_id = 17) const uint STEP = 1;     // blocks of an invocation on their way at once; 1 where gated or with more than 2 rows
layout(local_size_x_id = 12) in;
#ifdef FIXED
#define FIXED_GROUP GROUP
#include "common/product_fixed.glsl"
#endif

// Set s of an invocation's rows: gated, the even ones are of the first weight.
const uint PARTS = GROUP / LANES, SETS = GATED != 0u ? 2 * EACH : EACH;
const uint SLOTS = SPAN * ROWS, TOGETHER = ROWS < 4u ? ROWS : 4;
const uint SUMS = SETS + (NORM != 0u ? 1 : 0);       // with that of the squares
shared float table[16];
shared float partial[SUMS * TOGETHER * GROUP];
#ifdef FIXED
shared uvec4 xq[SLOTS / 8];          // by block of 32 columns: 8 words of high bytes, 8 of low bytes
shared vec4 xblocks[SLOTS / 32];     // told by product_fixed.glsl
#else
shared vec4 xs[SLOTS / 4];
shared float xsums[SLOTS / 16], xsquares[NORM != 0u ? SLOTS / 16 : 1];
#endif

float acc[4][8], squares[8];
float added;  // to the first element that an invocation ends

uint moved(uint w, int by) { return by >= 0 ? w << by : w >> -by; }
// 1 + (field & keep) / 2^bits of the four fields of `bits` bits that begin at bits 0, 8, 16, 24 of w, or `low` higher
vec4 codes_above_one(uint w, int bits, int low) {
    const int to = 23 - bits - low;
    const uvec4 v = uvec4(moved(w, to), moved(w, to - 8), moved(w, to - 16), moved(w, to - 24));
    return uintBitsToFloat((v & (((1u << bits) - 1u) << (23 - bits))) | 0x3f800000u);
}
int code_bits(uint type) {
    if (type == TILE_Q8_0) return 8;
    return (tile_code_bytes(type) == 256u ? 2 : 4) + (tile_high_bytes(type) == 256u ? 2 : tile_high_bytes(type) == 128u ? 1 : 0);
}
vec4 table_values(uint c) { return vec4(table[c & 15u], table[c >> 8 & 15u], table[c >> 16 & 15u], table[c >> 24 & 15u]); }

// One row of a block, as it lies.
struct Raw {
    uvec4 w[8];
    uvec2 high, params;
};

uint code_planes(uint type) { return max(tile_code_bytes(type) / 512u, 1u); }

Raw load_raw(uint type, uvec2 row_tile, uint block, uint row) {
    const uvec2 tile = address_plus(row_tile, tile_at(type, block)), high = address_plus(tile, tile_code_bytes(type));
    Raw r;
    [[unroll]] for (uint i = 0; i < 8u; i++) r.w[i] = uvec4(0);
    r.high = r.params = uvec2(0);
    if (tile_code_bytes(type) == 256u) r.w[0].xy = U32x2(tile).v[row];
    else
        [[unroll]] for (uint i = 0; i < 8u; i++)
            if (i < code_planes(type)) r.w[i] = U32x4(tile).v[i * 32u + row];
    if (tile_high_bytes(type) == 128u) r.high.x = U32(high).v[row];
    if (tile_high_bytes(type) == 256u) r.high = U32x2(high).v[row];
    if (!tile_is_float(type)) r.params = tile_params(type, row_tile, block, row);
    return r;
}

// Quad q: numbers of float types and tables, else 1 + code / 2^bits.
vec4 quad_numbers(uint type, Raw r, uint q) {
    if (type == TILE_F32) return uintBitsToFloat(r.w[q]);
    if (tile_is_float(type)) {
        const uvec4 v = r.w[q >> 1];
        const uvec2 w = (q & 1u) == 0u ? v.xy : v.zw;
        return type == TILE_F16 ? vec4(unpackHalf2x16(w.x), unpackHalf2x16(w.y)) : vec4(bf16x2(w.x), bf16x2(w.y));
    }
    const int bits = code_bits(type);
    if (tile_has_table(type)) return table_values(tile_nibbles(r.w[0][q & 3u], q));
    if (tile_has_nibbles(type)) return codes_above_one(r.w[0][q & 3u], bits, q < 4u ? 0 : 4);
    if (type == TILE_Q8_0) return codes_above_one(r.w[q >> 2][q & 3u], bits, 0);
    if (type == TILE_Q2_K) return codes_above_one(r.w[0][q >> 2], bits, int(q & 3u) * 2);
    uint c;
    if (type == TILE_Q3_K) c = tile_pairs(r.w[0][q >> 2], q) | tile_bits(r.high.x, q) << 2;
    else c = tile_nibbles(r.w[0][q & 3u], q) | (type == TILE_Q6_K ? tile_pairs(r.high[q >> 2], q) : tile_bits(r.high.x, q)) << 4;
    return codes_above_one(c, bits, 0);
}

uint set_type(uint s) { return GATED != 0u && (s & 1u) != 0u ? TYPE1 : TYPE0; }

#ifdef FIXED
// Codes of quad q, signed bytes that fit; of Q8_0 less 128.
int quad_codes(uint type, Raw r, uint q) {
    if (type == TILE_Q8_0) return int(r.w[q >> 2][q & 3u] ^ 0x80808080u);
    if (tile_code_bytes(type) == 256u) return int(tile_pairs(r.w[0][q >> 2], q) | (type == TILE_Q3_K ? tile_bits(r.high.x, q) << 2 : 0u));
    uint c = tile_nibbles(r.w[0][q & 3u], q);
    if (tile_high_bytes(type) == 256u) c |= tile_pairs(r.high[q >> 2], q) << 4;
    if (tile_high_bytes(type) == 128u) c |= tile_bits(r.high.x, q) << 4;
    return int(c);
}

// at: block of x in shared memory; r: a row of it of each set.
void multiply(Raw r[4], uint at) {
    vec4 so[4];
    int codes[4][8];
    [[unroll]] for (uint s = 0; s < SETS; s++) {
        so[s] = tile_scales(set_type(s), r[s].params);
        [[unroll]] for (uint q = 0; q < 8u; q++) codes[s][q] = quad_codes(set_type(s), r[s], q);
    }
    [[unroll]] for (uint t = 0; t < ROWS; t++) {
        const uint block = t * (SPAN / 32u) + at;
        const ivec4 high0 = ivec4(xq[block * 4u]), high1 = ivec4(xq[block * 4u + 1u]), low0 = ivec4(xq[block * 4u + 2u]), low1 = ivec4(xq[block * 4u + 3u]);
        const float unit = xblocks[block].x;
        const vec2 x_sums = xblocks[block].yz;
        [[unroll]] for (uint s = 0; s < SETS; s++) {
            ivec4 sums = ivec4(0);  // high and low bytes of either half
            [[unroll]] for (uint j = 0; j < 4u; j++) {
                sums.x += dotPacked4x8EXT(codes[s][j], high0[j]);
                sums.y += dotPacked4x8EXT(codes[s][j], low0[j]);
                sums.z += dotPacked4x8EXT(codes[s][4u + j], high1[j]);
                sums.w += dotPacked4x8EXT(codes[s][4u + j], low1[j]);
            }
            const int first = sums.x * 256 + sums.y, second = sums.z * 256 + sums.w;
            const uint type = set_type(s);
            if (type == TILE_Q8_0) acc[s][t] = fma(so[s].x * unit, float(first + second), acc[s][t]);
            else if (type == TILE_Q2_K || type == TILE_Q3_K || type == TILE_Q6_K) acc[s][t] = fma(so[s].z * unit, float(second), fma(so[s].w, x_sums.y, fma(so[s].x * unit, float(first), fma(so[s].y, x_sums.x, acc[s][t]))));
            else acc[s][t] = fma(so[s].x * unit, float(first + second), fma(so[s].y, x_sums.x + x_sums.y, acc[s][t]));
        }
    }
}
#else
// at: block of x in shared memory; r: a row of it of each set.
void multiply(Raw r[4], uint at) {
    float sums[4][2][8];
    [[unroll]] for (uint s = 0; s < SETS; s++)
        [[unroll]] for (uint t = 0; t < ROWS; t++) sums[s][0][t] = sums[s][1][t] = 0;
    [[unroll]] for (uint i = 0; i < 4u; i++) {
        vec4 w0[4], w1[4];
        [[unroll]] for (uint s = 0; s < SETS; s++) {
            w0[s] = quad_numbers(set_type(s), r[s], i);
            w1[s] = quad_numbers(set_type(s), r[s], 4u + i);
        }
        [[unroll]] for (uint t = 0; t < ROWS; t++) {
            const uint slot = t * (SPAN / 4u) + at * 8u + i;
            const vec4 x0 = xs[slot], x1 = xs[slot + 4u];
            [[unroll]] for (uint s = 0; s < SETS; s++) {
                sums[s][0][t] = dot4(w0[s], x0, sums[s][0][t]);
                sums[s][1][t] = dot4(w1[s], x1, sums[s][1][t]);
            }
        }
    }
    [[unroll]] for (uint s = 0; s < SETS; s++) {
        const uint type = set_type(s);
        const bool numbers = tile_is_float(type) || tile_has_table(type);
        vec4 so = vec4(1, 0, 1, 0);
        if (!tile_is_float(type)) so = tile_scales(type, r[s].params);
        const float unit = float(1 << code_bits(type));
        [[unroll]] for (uint t = 0; t < ROWS; t++) {
            if (numbers) {
                acc[s][t] = fma(so.z, sums[s][1][t], fma(so.x, sums[s][0][t], acc[s][t]));
                continue;
            }
            const uint slot = t * (SPAN / 16u) + at * 2u;
            const float x0 = xsums[slot], x1 = xsums[slot + 1u];
            acc[s][t] = fma(so.x * unit, sums[s][0][t] - x0, fma(so.y, x0, acc[s][t]));
            acc[s][t] = fma(so.z * unit, sums[s][1][t] - x1, fma(so.w, x1, acc[s][t]));
        }
    }
}
#endif

// Four columns of row t of x from c on and the norm's weights there, without a branch, so that all are on their way at once.
void load_aligned(uint t, uint c, out vec4 v, out vec4 w) {
    const uint near = min(c, k - 4u);
    v = F32x4(uvec2(x)).v[(min(t, tokens - 1u) * x_stride + near) / 4u];
    if (NORM != 0u) w = F32x4(norm).v[near / 4u];
}
// What load_x and apply_norm make of them.
float norm_aligned(uint t, uint c, inout vec4 v, vec4 w, float square) {
    v = t < tokens && c < k ? v : vec4(0);
    if (NORM == 0u) return square;
    square = dot4(v, v, square);
    v *= w + NORM_OFFSET;
    return square;
}

#ifdef FIXED
void put_quarter(uint slot, FixedQuarter f) {
    const uint quarter = slot & 3u, to = slot / 4u * 4u + quarter / 2u;
    if (slot >= SLOTS / 8u) return;
    if ((quarter & 1u) == 0u) {
        xq[to].xy = f.high;
        xq[to + 2u].xy = f.low;
    } else {
        xq[to].zw = f.high;
        xq[to + 2u].zw = f.low;
    }
    if (quarter == 0u) xblocks[slot / 4u] = f.told;
}

// Columns `from` … of the rows of x that this workgroup takes; zeros past either end. PREPARED: product_integers.glsl has made them into integers.
void stage(uint from, uint first) {
    const uint blocks = (k + 31u) / 32u;
    if (PREPARED != 0u) {
        [[unroll]] for (uint i = 0; i < (SLOTS / 8u + GROUP - 1u) / GROUP; i++) {
            const uint slot = i * GROUP + gl_LocalInvocationID.x, t = first + slot / (SPAN / 8u), at = from / 8u + slot % (SPAN / 8u);
            if (slot < SLOTS / 8u) xq[slot] = t < tokens && at < blocks * 4u ? U32x4(uvec2(x)).v[t * blocks * 4u + at] : uvec4(0);
        }
        for (uint slot = gl_LocalInvocationID.x; slot < SLOTS / 32u; slot += GROUP) {
            const uint t = first + slot / (SPAN / 32u), block = from / 32u + slot % (SPAN / 32u);
            xblocks[slot] = t < tokens && block < blocks ? F32x4(uvec2(x)).v[tokens * blocks * 4u + t * blocks + block] : vec4(0);
        }
    } else {
        for (uint base = 0; base < SLOTS / 8u; base += GROUP) {
            const uint slot = base + gl_LocalInvocationID.x, t = first + slot / (SPAN / 8u), c = from + slot % (SPAN / 8u) * 8u;
            if (ALIGNED != 0u) {
                vec4 v[2], w[2];
                [[unroll]] for (uint i = 0; i < 2u; i++) load_aligned(t, c + i * 4u, v[i], w[i]);
                float square = 0;
                [[unroll]] for (uint i = 0; i < 2u; i++) square = norm_aligned(t, c + i * 4u, v[i], w[i], square);
                put_quarter(slot, fixed_quarter_of(v, square));
            } else {
                put_quarter(slot, fixed_quarter(t, c));
            }
        }
    }
    barrier();
}

float square_of(uint t, uint block) { return xblocks[t * (SPAN / 32u) + block].w; }
#else
// 16 columns an invocation.
void stage(uint from, uint first) {
    for (uint slot = gl_LocalInvocationID.x; slot < SLOTS / 16u; slot += GROUP) {
        const uint t = first + slot / (SPAN / 16u), c = from + slot % (SPAN / 16u) * 16u;
        vec4 v[4], w[4];
        float square = 0;
        if (ALIGNED != 0u) {
            [[unroll]] for (uint i = 0; i < 4u; i++) load_aligned(t, c + i * 4u, v[i], w[i]);
            [[unroll]] for (uint i = 0; i < 4u; i++) square = norm_aligned(t, c + i * 4u, v[i], w[i], square);
        } else {
            [[unroll]] for (uint i = 0; i < 4u; i++) {
                v[i] = load_x(t, c + i * 4u);
                if (NORM != 0u) square = apply_norm(v[i], c + i * 4u, square);
            }
        }
        if (NORM != 0u) xsquares[slot] = square;
        [[unroll]] for (uint i = 0; i < 4u; i++) xs[slot * 4u + i] = v[i];
        const vec4 s = v[0] + v[1] + v[2] + v[3];
        xsums[slot] = (s.x + s.y) + (s.z + s.w);
    }
    barrier();
}

float square_of(uint t, uint block) { return xsquares[t * (SPAN / 16u) + block * 2u] + xsquares[t * (SPAN / 16u) + block * 2u + 1u]; }
#endif

float total(uint sum_of, uint t, uint row) {
    float sum = 0;
    [[unroll]] for (uint w = 0; w < min(8u, PARTS); w++) sum += partial[(sum_of * TOGETHER + t) * GROUP + w * LANES + row];
    return sum;
}

// What product_end adds to the first element that an invocation ends is on its way from the start.
void fetch_added(Part p, uint first) {
    const uint o = gl_LocalInvocationID.x, t = min(first + o / (LANES * EACH), tokens - 1u), n = min((p.group * EACH + o / LANES % EACH) * LANES + o % LANES, p.n - 1u);
    const bool none = residual == uvec2(0);  // then read where y will stand, so that no branch is met
    added = F32(none ? uvec2(p.y) : residual).v[t * (none ? p.n : residual_stride) + n];
}
void product_end_with(Part p, uint t, uint n, float sum, bool is_first) {
    float v = product_value(sum, product_bias(p.bias, p.bias_type, n));
    if (residual != uvec2(0)) v += is_first ? added : F32(residual).v[t * residual_stride + n];
    p.y.v[t * p.n + n] = v;
}

void finish(Part p, uint first) {
    const uint id = gl_LocalInvocationID.x, part = id / LANES;
    [[unroll]] for (uint from = 0; from < ROWS; from += TOGETHER) {
        [[unroll]] for (uint t = 0; t < TOGETHER; t++) {
            [[unroll]] for (uint s = 0; s < SETS; s++) partial[(s * TOGETHER + t) * GROUP + id] = acc[s][from + t];
            if (NORM != 0u) partial[(SETS * TOGETHER + t) * GROUP + id] = squares[from + t];
        }
        barrier();
        [[unroll]] for (uint many = PARTS / 2u; many >= 8u; many /= 2u) {
            if (part < many)
                [[unroll]] for (uint o = 0; o < SUMS * TOGETHER; o++) partial[o * GROUP + id] += partial[o * GROUP + id + many * LANES];
            barrier();
        }
        for (uint o = id; o < TOGETHER * LANES * EACH; o += GROUP) {
            const uint t = o / (LANES * EACH), e = o / LANES % EACH, row = o % LANES, n = (p.group * EACH + e) * LANES + row, token = first + from + t;
            if (n >= p.n || token >= tokens) continue;
            const float r = NORM != 0u ? 1.0 / sqrt(total(SETS, t, row) / float(k) + EPS) : 1.0;
            if (GATED != 0u) product_end_gated(p, token, n, total(2u * e, t, row) * r, total(2u * e + 1u, t, row) * r);
            else product_end_with(p, token, n, total(e, t, row) * r, from == 0u && o == id);
        }
        barrier();
    }
}

// Weights of one step, from block `from` on.
Raw next[4][4];
void fetch(Part p, uint from, uint blocks) {
    const uint first_row = p.group * LANES * EACH, part = gl_LocalInvocationID.x / LANES;
    const uvec2 tile0 = weight_tile(p.w, TYPE0, blocks, first_row / 32u);
    uvec2 tile1 = tile0;
    if (GATED != 0u) tile1 = weight_tile(w1, TYPE1, blocks, first_row / 32u);
    [[unroll]] for (uint i = 0; i < STEP; i++) {
        const uint block = min(from + i * PARTS + part, blocks - 1u);  // past the end read, not used: where branches meet, drivers wait for what is on its way
        [[unroll]] for (uint s = 0; s < SETS; s++) {
            const uint row = first_row % 32u + (GATED != 0u ? s / 2u : s) * LANES + gl_LocalInvocationID.x % LANES;
            next[i][s] = load_raw(set_type(s), GATED != 0u && (s & 1u) != 0u ? tile1 : tile0, block, row);
        }
    }
}

void main() {
    const uint first = gl_WorkGroupID.x * ROWS, blocks = (k + 31u) / 32u, width = SPAN / 32u, part = gl_LocalInvocationID.x / LANES;
    Part p;
    uint group = gl_WorkGroupID.y;
    bool more = product_part(group, LANES * EACH, p);
    if (!more) return;
    if (tile_has_table(TYPE0) || GATED != 0u && tile_has_table(TYPE1)) {
        // Two tables in one product would need two: the host gives such weights a dispatch each.
        if (gl_LocalInvocationID.x < 16u) table[gl_LocalInvocationID.x] = tile_table(tile_has_table(TYPE0) ? TYPE0 : TYPE1, gl_LocalInvocationID.x);
    }
    // Weights are on their way a step ahead of their use, also while x is staged and while results are written.
    bool staged = false;
    while (more) {
        if (!staged) fetch(p, 0, blocks);
        if (GATED == 0u) fetch_added(p, first);
        if (WHOLE != 0u && !staged) {
            stage(0, first);
            staged = true;
        }
        [[unroll]] for (uint t = 0; t < 8u; t++) acc[0][t] = acc[1][t] = acc[2][t] = acc[3][t] = squares[t] = 0;
        [[dont_unroll]] for (uint from = 0; from < blocks; from += STEP * PARTS) {
            Raw now[4][4] = next;
            fetch(p, from + STEP * PARTS, blocks);
            if (WHOLE == 0u && from % width == 0u && (!staged || blocks > width)) {
                if (staged) barrier();
                stage(from * 32u, first);
                staged = true;
            }
            [[unroll]] for (uint i = 0; i < STEP; i++) {
                const uint block = from + i * PARTS + part;
                if (WHOLE == 0u && block >= blocks) continue;  // in a whole row there are zeros of x
                multiply(now[i], block % width);
                if (NORM != 0u)
                    [[unroll]] for (uint t = 0; t < ROWS; t++) squares[t] += square_of(t, block % width);
            }
        }
        Part done = p;
        group += gl_NumWorkGroups.y;
        more = product_part(group, LANES * EACH, p);
        if (more) fetch(p, 0, blocks);
        finish(done, first);
    }
}
