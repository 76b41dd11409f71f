// Convolution as torch.nn.Conv1d / Conv2d define it: implicit GEMM over patches, and a direct form for few channels a group.
#pragma once

#include <cstddef>
#include <cstdint>

#include "float/isa.hpp"
#include "float/parallel.hpp"
#include "float/vector_kernels.hpp"

namespace orrery::flt {

// y[b, o, i, j] = activation(bias[o] + sum_{c, u, v} w[o, c, u, v] x[b, g C/G + c, i sh + u dh - ph, j sw + v dw - pw]), zeros outside.
// Any layout of x and y is told by strides in floats; a 1-D convolution has height 1.
struct ConvArgs {
    int64_t batch, channels, height, width;
    int64_t out_channels, kernel_h, kernel_w;
    int64_t stride_h = 1, stride_w = 1, pad_h = 0, pad_w = 0, dilation_h = 1, dilation_w = 1, groups = 1;
    const float* x;
    int64_t x_batch, x_channel, x_row, x_col;
    const float* w;  // packed by conv_pack
    const float* bias = nullptr;
    float* y;
    int64_t y_batch, y_channel, y_row, y_col;  // y_row = y_col * output width
    Activation activation = Activation::none;

    int64_t out_height() const { return (height + 2 * pad_h - dilation_h * (kernel_h - 1) - 1) / stride_h + 1; }
    int64_t out_width() const { return (width + 2 * pad_w - dilation_w * (kernel_w - 1) - 1) / stride_w + 1; }
    int64_t group_in() const { return channels / groups; }
    int64_t group_out() const { return out_channels / groups; }
};

// Weights [O, C/G, kh, kw] -> one packed matrix (layout kPackedLayout) per group, or as they are for the direct form.
size_t conv_packed_bytes(const ConvArgs& args);
void conv_pack(Isa isa, const ConvArgs& args, const float* w, float* dst, const Parallel& parallel);
size_t conv_workspace_bytes(const ConvArgs& args, int threads);
void conv(Isa isa, const ConvArgs& args, void* workspace, const Parallel& parallel);

}  // namespace orrery::flt
