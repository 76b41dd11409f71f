// Many rows of x times weights, f32: a workgroup computes 64 rows of x by 64 weight rows (gated: of each of two weights), 32 columns of k at a time
// through shared memory; an invocation 4 by 4. Takes packed and raw weights. The sum of one element runs over k in order.
#define ORR_GROUP 256
layout(local_size_x = ORR_GROUP) in;
#include "common/product.glsl"

const uint SIDE = 64, PITCH = SIDE / 4 + 1;  // in vec4
shared vec4 xs[32 * PITCH];
shared vec4 ws[2 * 32 * PITCH];

vec4 acc[2][4];

uint raw_type(uint type) { return type == TILE_RAW_F32 ? ORR_F32 : type == TILE_RAW_F16 ? ORR_F16 : ORR_BF16; }

// 8 columns of 64 weight rows: a row and two quads an invocation.
void stage_weights(uint type, uint set, uvec2 w, uint n, uint first_row, uint block, uint blocks) {
    const uint in_tile = gl_LocalInvocationID.x % SIDE, row = first_row + in_tile, part = gl_LocalInvocationID.x / SIDE;
    const bool inside = row < n;
    uvec2 row_tile = w;
    vec4 scales = vec4(0);
    if (type < TILE_RAW_F32 && inside) {
        row_tile = weight_tile(w, type, blocks, row / 32u);
        if (!tile_is_float(type)) scales = tile_scales(type, tile_params(type, row_tile, block, row % 32u));
    }
    for (uint i = 0; i < 2u; i++) {
        const uint q = part * 2u + i;
        vec4 v = vec4(0);
        if (inside) {
            if (type < TILE_RAW_F32) v = tile_quad(type, address_plus(row_tile, tile_at(type, block)), row % 32u, q, scales);
            else
                for (uint j = 0; j < 4u; j++) {
                    const uint c = block * 32u + q * 4u + j;
                    if (c < k) v[j] = load_float(w, row * n1 + c * n2, raw_type(type));
                }
        }
        for (uint j = 0; j < 4u; j++) ws[(set * 32u + q * 4u + j) * PITCH + in_tile / 4u][in_tile & 3u] = v[j];
    }
}

void stage_x(uint first, uint block) {
    [[unroll]] for (uint i = 0; i < SIDE * 32u / ORR_GROUP; i++) {
        const uint slot = i * ORR_GROUP + gl_LocalInvocationID.x, t = slot / 32u, c = slot % 32u;
        const bool inside = first + t < tokens && block * 32u + c < k;
        xs[c * PITCH + t / 4u][t & 3u] = inside ? x.v[(first + t) * x_stride + block * 32u + c] : 0.0;
    }
}

void main() {
    Part p;
    if (!product_part(gl_WorkGroupID.y, SIDE, p)) return;
    const uint first = gl_WorkGroupID.x * SIDE, blocks = (k + 31u) / 32u, sets = GATED != 0u ? 2u : 1u;
    const uint tx = gl_LocalInvocationID.x % 16u, ty = gl_LocalInvocationID.x / 16u;
    [[unroll]] for (uint s = 0; s < 2u; s++)
        [[unroll]] for (uint i = 0; i < 4u; i++) acc[s][i] = vec4(0);
    for (uint b = 0; b < blocks; b++) {
        barrier();
        stage_x(first, b);
        stage_weights(TYPE0, 0, p.w, p.n, p.group * SIDE, b, blocks);
        if (GATED != 0u) stage_weights(TYPE1, 1, w1, p.n, p.group * SIDE, b, blocks);
        barrier();
        for (uint c = 0; c < 32u; c++) {
            const vec4 a = xs[c * PITCH + ty];
            [[unroll]] for (uint s = 0; s < 2u; s++) {
                if (s >= sets) continue;
                const vec4 w = ws[(s * 32u + c) * PITCH + tx];
                [[unroll]] for (uint i = 0; i < 4u; i++) acc[s][i] = fma(vec4(a[i]), w, acc[s][i]);
            }
        }
    }
    [[unroll]] for (uint i = 0; i < 4u; i++)
        [[unroll]] for (uint j = 0; j < 4u; j++) {
            const uint t = first + ty * 4u + i, n = p.group * SIDE + tx * 4u + j;
            if (t >= tokens || n >= p.n) continue;
            if (GATED != 0u) product_end_gated(p, t, n, acc[0][i][j], acc[1][i][j]);
            else product_end(p, t, n, acc[0][i][j]);
        }
}
