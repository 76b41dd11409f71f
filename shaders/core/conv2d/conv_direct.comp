// Device half of plugins/core/common/conv_vulkan.cpp
// y[b, o, i, j] = activation(bias[o] + sum_{c, u, v} w[o, c, u, v] x[b, c, i s + u d - p, j s + v d - p]), zeros outside x
// One invocation an output: groups of few channels, such as depthwise ones. f32 sums, one chain over (c, u, v).
#version 460
#extension GL_GOOGLE_include_directive : require
layout(local_size_x = 256) in;
layout(constant_id = 0) const uint w_type = 1;  // ORR_TYPE_*
layout(constant_id = 1) const uint bias_type = 1;
layout(constant_id = 2) const uint activation = 0;
layout(constant_id = 3) const bool channels_last = false;  // neighbours in y are channels
#include "common/activation.glsl"
#include "common/strided.glsl"
#include "core/conv2d/params.h"

void main() {
    const uint i = flat_index();
    if (i >= pixels * out_channels) return;
    const uint area = out_h * out_w;
    uint o, pixel, b;
    if (channels_last) {
        o = i % out_channels;
        b = i / out_channels / area;
        pixel = i / out_channels % area;
    } else {
        pixel = i % area;
        o = i / area % out_channels;
        b = i / area / out_channels;
    }
    const int row0 = int(pixel / out_w * stride_h) - pad_h, col0 = int(pixel % out_w * stride_w) - pad_w;
    const uint taps = kernel_h * kernel_w, from = b * x_batch + o / group_out * group_in * x_channel;
    float sum = bias == uvec2(0) ? 0.0 : load_float(bias, o, bias_type);
    for (uint c = 0; c < group_in; c++) {
        const uint plane = from + c * x_channel, first = (o * group_in + c) * taps;
        for (uint u = 0; u < kernel_h; u++) {
            const int row = row0 + int(u * dilation_h);
            if (row < 0 || row >= int(height)) continue;
            for (uint v = 0; v < kernel_w; v++) {
                const int col = col0 + int(v * dilation_w);
                if (col < 0 || col >= int(width)) continue;
                sum += load_float(w, first + u * kernel_w + v, w_type) * x.v[plane + uint(row) * x_row + uint(col) * x_col];
            }
        }
    }
    y.v[b * y_batch + o * y_channel + pixel * y_col] = activate(activation, sum);
}
