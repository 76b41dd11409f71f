// Rows of x in f16 (product_rows.glsl) times weights with cooperative matrices of 16 x 8 x 16, sums in f32. A workgroup of SUB_K x SUB_W x SUB_X
// subgroups computes SUB_W x FRAGMENTS_W x 16 weight rows by SUB_X x FRAGMENTS_X x 8 rows of x; its SUB_K parts share k out and add up in the end, for
// products with few tiles. SPLIT: the last rows of tiles, as many as there are more workgroups than tiles along y, have two workgroups a tile, for half of k
// each (of 8 blocks at least); each puts its sums into memory, unless the other one's are there, and who finds those adds them. Packed weights go from memory
// into the matrices' registers as in product_direct.glsl, which tells what it takes of the driver; x goes through shared memory, 64 columns at a time, twice:
// while one half is read the other is written, so that a step has one barrier. Invocation t of
// four has of 64 columns half t % 2 of block t / 2. Gated: even fragments are of the first weight, the odd ones of the second.
#extension GL_KHR_cooperative_matrix : require
#extension GL_KHR_memory_scope_semantics : require
#extension GL_KHR_shader_subgroup_basic : require
#define ORR_PART (SUB_W * SUB_X * 32)
#define ORR_GROUP (ORR_PART * SUB_K)
layout(local_size_x = ORR_GROUP) in;
#include "common/product_halves.glsl"
layout(constant_id = 9) const uint SPLIT = 0;

const uint TILE_W = SUB_W * FRAGMENTS_W * 16, TILE_X = SUB_X * FRAGMENTS_X * 8, X_EACH = TILE_X * 8 / ORR_PART;
const uint PITCH = 10;  // uvec4 of a row of 64 f16, so that what eight invocations read at once lies in different banks
const uint X_WORDS = SUB_K * 2 * TILE_X * PITCH, SUM_WORDS = (SUB_K - 1) * TILE_X * TILE_W / 4;
shared uvec4 xs[X_WORDS > SUM_WORDS ? X_WORDS : SUM_WORDS];

layout(buffer_reference, scalar, buffer_reference_align = 16) coherent buffer Sums4 { vec4 v[]; };
shared uint arrived;

coopmat<float, gl_ScopeSubgroup, 16, 8, gl_MatrixUseAccumulator> acc[FRAGMENTS_W][FRAGMENTS_X];
Raw w_next[FRAGMENTS_W][2];  // half blocks of rows g and g + 8
uvec2 w_from[FRAGMENTS_W];
uint w_row[FRAGMENTS_W], x_from[X_EACH];
uvec4 x_next[X_EACH];

uint lane_g() { return gl_SubgroupInvocationID / 4u; }
uint lane_t() { return gl_SubgroupInvocationID % 4u; }
// First weight row of a fragment.
uint fragment_row(Part p, uint sub_w, uint f) {
    return GATED != 0u ? (p.group * (SUB_W * FRAGMENTS_W / 2u) + (sub_w * FRAGMENTS_W + f) / 2u) * 16u : p.group * TILE_W + (sub_w * FRAGMENTS_W + f) * 16u;
}

void find(Part p, uint sub_w, uint first, uint blocks) {
    const uint last_tile = (p.n + 31u) / 32u - 1u, pitch = (blocks + 1u) / 2u * 8u;
    [[unroll]] for (uint f = 0; f < FRAGMENTS_W; f++) {
        const uint row = fragment_row(p, sub_w, f);
        w_from[f] = weight_tile(GATED != 0u && (f & 1u) != 0u ? w1 : p.w, TYPE0, blocks, min(row / 32u, last_tile));
        w_row[f] = row % 32u + lane_g();
    }
    [[unroll]] for (uint i = 0; i < X_EACH; i++) {
        const uint slot = i * ORR_PART + gl_LocalInvocationID.x % ORR_PART;
        x_from[i] = (first + slot / 8u) * pitch + slot % 8u;
    }
}

// Past the last block its weights come once more; they meet zeros of x.
void fetch_weights(uint block, uint blocks) {
    [[unroll]] for (uint f = 0; f < FRAGMENTS_W; f++)
        [[unroll]] for (uint h = 0; h < 2u; h++)
            w_next[f][h] = load_raw(TYPE0, w_from[f], min(block + lane_t() / 2u, blocks - 1u), w_row[f] + h * 8u, lane_t() & 1u);
}
void fetch_x(uint block) {
    [[unroll]] for (uint i = 0; i < X_EACH; i++) x_next[i] = U32x4(uvec2(x)).v[x_from[i] + block * 4u];
}
void put_x(uint half_of, bool inside) {
    [[unroll]] for (uint i = 0; i < X_EACH; i++) {
        const uint slot = i * ORR_PART + gl_LocalInvocationID.x % ORR_PART;
        xs[half_of * (TILE_X * PITCH) + slot / 8u * PITCH + slot % 8u] = inside ? x_next[i] : uvec4(0);
    }
}

void multiply(Raw w_now[FRAGMENTS_W][2], uint sub_x, uint half_of) {
    coopmat<float16_t, gl_ScopeSubgroup, 16, 16, gl_MatrixUseA> a[2][FRAGMENTS_W];
    coopmat<float16_t, gl_ScopeSubgroup, 16, 8, gl_MatrixUseB> b;
    const uint from = half_of * (TILE_X * PITCH) + (sub_x * FRAGMENTS_X * 8u + lane_g()) * PITCH + lane_t() / 2u * 4u + (lane_t() & 1u);
    [[unroll]] for (uint pair = 0; pair < 2u; pair++) {  // of quads
        [[unroll]] for (uint f = 0; f < FRAGMENTS_W; f++)
            [[unroll]] for (uint h = 0; h < 2u; h++) {
                const uvec4 w = half_of_block(TYPE0, w_now[f][h], lane_t() & 1u, pair);
                const f16vec2 e0 = unpackFloat2x16(w.x), o0 = unpackFloat2x16(w.y), e1 = unpackFloat2x16(w.z), o1 = unpackFloat2x16(w.w);
                a[0][f][h * 4u] = e0.x, a[0][f][h * 4u + 1u] = e0.y, a[0][f][h * 4u + 2u] = o0.x, a[0][f][h * 4u + 3u] = o0.y;
                a[1][f][h * 4u] = e1.x, a[1][f][h * 4u + 1u] = e1.y, a[1][f][h * 4u + 2u] = o1.x, a[1][f][h * 4u + 3u] = o1.y;
            }
        [[unroll]] for (uint n = 0; n < FRAGMENTS_X; n++) {
            const uvec4 v = xs[from + n * 8u * PITCH + pair * 2u];
            [[unroll]] for (uint q = 0; q < 2u; q++) {
                const f16vec2 even = unpackFloat2x16(q == 0u ? v.x : v.z), odd = unpackFloat2x16(q == 0u ? v.y : v.w);
                b[0] = even.x, b[1] = even.y, b[2] = odd.x, b[3] = odd.y;
                [[unroll]] for (uint f = 0; f < FRAGMENTS_W; f++) acc[f][n] = coopMatMulAdd(a[q][f], b, acc[f][n]);
            }
        }
    }
}

const uint AT_ONCE = FRAGMENTS_X < 8 ? FRAGMENTS_X : 8;  // fragments whose residuals an invocation reads before it ends any

// Row of x of element e of a fragment.
uint token_of(uint first, uint sub_x, uint n, uint e) { return first + (sub_x * FRAGMENTS_X + n) * 8u + lane_t() * 2u + (e & 1u); }

void finish(Part p, uint first, uint sub_w, uint sub_x) {
    if (GATED != 0u) {
        [[unroll]] for (uint f = 0; f + 1u < FRAGMENTS_W; f += 2u) {
            const uint row = fragment_row(p, sub_w, f) + lane_g();
            float gate_bias[2], up_bias[2];
            [[unroll]] for (uint h = 0; h < 2u; h++) {
                gate_bias[h] = product_bias(bias0, bias_types & 0xffu, min(row + h * 8u, p.n - 1u));
                up_bias[h] = product_bias(bias1, bias_types >> 8 & 0xffu, min(row + h * 8u, p.n - 1u));
            }
            [[unroll]] for (uint n = 0; n < FRAGMENTS_X; n++)
                [[unroll]] for (uint e = 0; e < 4u; e++) {
                    const uint token = token_of(first, sub_x, n, e), to = row + e / 2u * 8u;
                    const float v = activate(ACT, acc[f][n][e] + gate_bias[e / 2u]) * (acc[f + 1u][n][e] + up_bias[e / 2u]);
                    if (token < tokens && to < p.n) p.y.v[token * p.n + to] = v;
                }
        }
        return;
    }
    [[unroll]] for (uint f = 0; f < FRAGMENTS_W; f++) {
        const uint row = fragment_row(p, sub_w, f) + lane_g();
        float bias_of[2];
        [[unroll]] for (uint h = 0; h < 2u; h++) bias_of[h] = product_bias(p.bias, p.bias_type, min(row + h * 8u, p.n - 1u));
        [[unroll]] for (uint at = 0; at < FRAGMENTS_X; at += AT_ONCE) {
            float rest[AT_ONCE * 4u];
            [[unroll]] for (uint i = 0; i < AT_ONCE * 4u; i++) rest[i] = 0;
            if (residual != uvec2(0))
                [[unroll]] for (uint i = 0; i < AT_ONCE * 4u; i++) rest[i] = product_residual(p, token_of(first, sub_x, at + i / 4u, i % 4u), row + i % 4u / 2u * 8u);
            [[unroll]] for (uint i = 0; i < AT_ONCE * 4u; i++) {
                const uint token = token_of(first, sub_x, at + i / 4u, i % 4u), to = row + i % 4u / 2u * 8u;
                const float v = product_value(acc[f][at + i / 4u][i % 4u], bias_of[i % 4u / 2u]) + rest[i];
                if (token < tokens && to < p.n) p.y.v[token * p.n + to] = v;
            }
        }
    }
}

// The tile of a workgroup, its half of k (2: all of it), and the tile's number among the split ones.
void find_half(out uint tile, out uint half_of_k, out uint split_tile) {
    const uint side = GATED != 0u ? TILE_W / 2u : TILE_W;
    uint tiles = product_groups(n0, side);
    if (GATED == 0u) tiles += product_groups(n1, side) + product_groups(n2, side);
    const uint whole = 2u * tiles - gl_NumWorkGroups.y, at = gl_WorkGroupID.y;
    tile = at < whole ? at : whole + (at - whole) / 2u;
    half_of_k = at < whole ? 2u : (at - whole) & 1u;
    split_tile = (tile - min(tile, whole)) * gl_NumWorkGroups.x + gl_WorkGroupID.x;
}
Sums4 partial_sums() {
    uint high, low;
    umulExtended(x_stride, 256u, high, low);
    const uvec2 at = address_plus(uvec2(x), low);
    return Sums4(uvec2(at.x, at.y + high));
}
// Adds the sums of the other half of k; false for the workgroup that leaves that to the other one. Of two numbers either order gives the same sum.
bool add_other_half(uint at, uint half_of_k) {
    const uint slot = gl_LocalInvocationID.x;
    U32 counters = U32(norm);
    Sums4 partial = partial_sums();
    if (slot == 0u) {
        arrived = atomicAdd(counters.v[at], 0u);
        memoryBarrierBuffer();
    }
    barrier();
    if (arrived == 0u) {
        [[unroll]] for (uint f = 0; f < FRAGMENTS_W; f++)
            [[unroll]] for (uint n = 0; n < FRAGMENTS_X; n++)
                partial.v[(((at * 2u + half_of_k) * FRAGMENTS_W + f) * FRAGMENTS_X + n) * ORR_GROUP + slot] = vec4(acc[f][n][0], acc[f][n][1], acc[f][n][2], acc[f][n][3]);
        memoryBarrierBuffer();
        barrier();
        if (slot == 0u) {
            memoryBarrierBuffer();
            arrived = atomicAdd(counters.v[at], 1u);
            memoryBarrierBuffer();
        }
        barrier();
        if (arrived == 0u) return false;
    }
    memoryBarrierBuffer();
    if (slot == 0u) counters.v[at] = 0u;
    [[unroll]] for (uint f = 0; f < FRAGMENTS_W; f++)
        [[unroll]] for (uint n = 0; n < FRAGMENTS_X; n++) {
            const vec4 v = partial.v[(((at * 2u + 1u - half_of_k) * FRAGMENTS_W + f) * FRAGMENTS_X + n) * ORR_GROUP + slot];
            [[unroll]] for (uint e = 0; e < 4u; e++) acc[f][n][e] += v[e];
        }
    return true;
}

void main() {
    Part p;
    uint tile = gl_WorkGroupID.y, half_of_k = 2, split_tile = 0;
    if (SPLIT != 0u) find_half(tile, half_of_k, split_tile);
    if (!product_part(tile, GATED != 0u ? TILE_W / 2u : TILE_W, p)) return;
    const uint sub_k = gl_SubgroupID / (SUB_W * SUB_X), sub_w = gl_SubgroupID / SUB_X % SUB_W, sub_x = gl_SubgroupID % SUB_X, step = SUB_K * 2u;
    const uint first = gl_WorkGroupID.x * TILE_X, blocks = (k + 31u) / 32u, middle = (blocks / 2u + 2u * step - 1u) / (2u * step) * (2u * step);
    const uint begin = half_of_k == 1u ? middle : 0u, end = half_of_k == 0u ? middle : blocks, last = (end - 1u) / 2u * 2u;
    fill_table();
    [[unroll]] for (uint f = 0; f < FRAGMENTS_W; f++)
        [[unroll]] for (uint n = 0; n < FRAGMENTS_X; n++) acc[f][n] = coopmat<float, gl_ScopeSubgroup, 16, 8, gl_MatrixUseAccumulator>(0);
    find(p, sub_w, first, blocks);
    const uint begin_own = begin + sub_k * 2u;
    fetch_x(min(begin_own, last));
    fetch_weights(begin_own, end);
    put_x(sub_k * 2u, begin_own < end);
    fetch_x(min(begin_own + step, last));
    barrier();
    [[dont_unroll]] for (uint block = begin; block < end; block += step) {
        const uint half_of = sub_k * 2u + (block / step & 1u), own = block + sub_k * 2u;
        put_x(half_of ^ 1u, own + step < end);
        fetch_x(min(own + 2u * step, last));
        Raw w_now[FRAGMENTS_W][2] = w_next;
        fetch_weights(own + step, end);
        multiply(w_now, sub_x, half_of);
        barrier();
    }
#if SUB_K > 1
    const uint slot = gl_LocalInvocationID.x % ORR_PART;
    if (sub_k > 0u)
        [[unroll]] for (uint f = 0; f < FRAGMENTS_W; f++)
            [[unroll]] for (uint n = 0; n < FRAGMENTS_X; n++)
                xs[(((sub_k - 1u) * FRAGMENTS_W + f) * FRAGMENTS_X + n) * ORR_PART + slot] = floatBitsToUint(vec4(acc[f][n][0], acc[f][n][1], acc[f][n][2], acc[f][n][3]));
    barrier();
    if (sub_k > 0u) return;
    [[unroll]] for (uint other = 0; other + 1u < SUB_K; other++)
        [[unroll]] for (uint f = 0; f < FRAGMENTS_W; f++)
            [[unroll]] for (uint n = 0; n < FRAGMENTS_X; n++) {
                const vec4 v = uintBitsToFloat(xs[((other * FRAGMENTS_W + f) * FRAGMENTS_X + n) * ORR_PART + slot]);
                [[unroll]] for (uint e = 0; e < 4u; e++) acc[f][n][e] += v[e];
            }
#else
    if (half_of_k < 2u && !add_other_half(split_tile, half_of_k)) return;
#endif
    finish(p, first, sub_w, sub_x);
}
