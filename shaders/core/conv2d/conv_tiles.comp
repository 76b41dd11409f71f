// Device half of plugins/core/common/conv_vulkan.cpp
// y[b, o, i, j] = activation(bias[o] + sum_{c, u, v} w[o, c, u, v] x[b, c, i s + u d - p, j s + v d - p]), zeros outside x
// The product of weights [O, K] and patches [K, pixels], K over (c, u, v): a workgroup has 64 channels of one group by 64 pixels,
// patches are gathered on their way into shared memory. f32 sums, one chain over K, whatever the number of pixels.
#version 460
#extension GL_GOOGLE_include_directive : require
layout(local_size_x = 256) in;
layout(constant_id = 0) const uint w_type = 1;  // ORR_TYPE_*
layout(constant_id = 1) const uint bias_type = 1;
layout(constant_id = 2) const uint activation = 0;
#include "common/activation.glsl"
#include "common/strided.glsl"
#include "core/conv2d/params.h"

const uint TILE = 64, DEPTH = 16;
shared float weights[DEPTH][TILE + 1];
shared float patches[DEPTH][TILE];

void main() {
    const uint tiles_o = (group_out + TILE - 1) / TILE, tiles_p = (pixels + TILE - 1) / TILE, groups = out_channels / group_out;
    const uint tile = gl_WorkGroupID.y * gl_NumWorkGroups.x + gl_WorkGroupID.x;
    if (tile >= tiles_o * tiles_p * groups) return;
    const uint t = gl_LocalInvocationID.x;
    const uint group = tile / (tiles_o * tiles_p), o0 = tile % tiles_o * TILE, p0 = tile / tiles_o % tiles_p * TILE;
    const uint area = out_h * out_w, taps = kernel_h * kernel_w, depth = group_in * taps;

    // The pixel whose patches this invocation gathers.
    const uint mine = p0 + t % TILE, at = mine % area;
    const int row0 = int(at / out_w * stride_h) - pad_h, col0 = int(at % out_w * stride_w) - pad_w;
    const uint from = mine / area * x_batch + group * group_in * x_channel;

    const uint tx = t % 16, ty = t / 16;
    float sum[4][4];
    for (uint a = 0; a < 4; a++)
        for (uint b = 0; b < 4; b++) sum[a][b] = 0.0;
    for (uint k0 = 0; k0 < depth; k0 += DEPTH) {
        for (uint r = 0; r < 4; r++) {
            const uint k = k0 + tx, o = o0 + ty + 16 * r;
            weights[tx][ty + 16 * r] = k < depth && o < group_out ? load_float(w, (group * group_out + o) * depth + k, w_type) : 0.0;
        }
        for (uint r = 0; r < 4; r++) {
            const uint kk = t / TILE + 4 * r, k = k0 + kk;
            const int row = row0 + int(k % taps / kernel_w * dilation_h), col = col0 + int(k % kernel_w * dilation_w);
            const bool inside = k < depth && mine < pixels && row >= 0 && row < int(height) && col >= 0 && col < int(width);
            patches[kk][t % TILE] = inside ? x.v[from + k / taps * x_channel + uint(row) * x_row + uint(col) * x_col] : 0.0;
        }
        barrier();
        [[unroll]] for (uint k = 0; k < DEPTH; k++) {
            float l[4], r[4];
            [[unroll]] for (uint a = 0; a < 4; a++) l[a] = weights[k][ty * 4 + a];
            [[unroll]] for (uint b = 0; b < 4; b++) r[b] = patches[k][tx + 16 * b];
            [[unroll]] for (uint a = 0; a < 4; a++)
                [[unroll]] for (uint b = 0; b < 4; b++) sum[a][b] += l[a] * r[b];
        }
        barrier();
    }
    for (uint a = 0; a < 4; a++) {
        if (o0 + ty * 4 + a >= group_out) break;
        const uint o = group * group_out + o0 + ty * 4 + a;
        const float base = bias == uvec2(0) ? 0.0 : load_float(bias, o, bias_type);
        for (uint b = 0; b < 4; b++) {
            const uint p = p0 + tx + 16 * b;
            if (p >= pixels) break;
            y.v[p / area * y_batch + o * y_channel + p % area * y_col] = activate(activation, sum[a][b] + base);
        }
    }
}
