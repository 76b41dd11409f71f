// What the two convolutions share: attributes, plan, packing, run. conv1d is conv2d of height 1.
#pragma once

#include "float/conv.hpp"
#include "float_abi/float_abi.hpp"

namespace orrery::core {

// Arguments of the float library from bound tensors; pointers stay null.
using ConvReader = flt::ConvArgs (*)(const orr_attrs* attrs, const orr_tensor& x, const orr_tensor& w, const orr_tensor& y);

struct ConvPlan {
    flt::Isa isa;
    flt::ConvArgs args;
    uint64_t bias_bytes;
    float* packed;  // in plan memory; null where the weight itself is packed
    bool packed_now;  // whether it is filled; plan memory begins as zeros
};

bool supports_conv(const orr_prepare* p, char* reason, size_t size);
orr_status prepare_conv(orr_prepare* p, ConvReader reader);
orr_status run_conv(const orr_run* run);
// The definition: loops over every output and tap, sums in f64.
orr_status run_conv_reference(const orr_run* run, ConvReader reader);

// On a Vulkan device.
bool supports_conv_vulkan(const orr_prepare* p, ConvReader reader, char* reason, size_t size);
orr_status prepare_conv_vulkan(orr_prepare* p, ConvReader reader);
orr_status run_conv_vulkan(const orr_run* run, ConvReader reader);
// One image, of a few outputs along each axis from `first` on.
bool self_test_conv(const orr_prepare* node, uint32_t i, orr_self_test* test, ConvReader reader, int32_t first, int32_t axes);

// floor((extent + 2 padding - dilation (kernel - 1) - 1) / stride) + 1
orr_dim conv_extent(const Infer& i, orr_dim extent, orr_dim kernel, int64_t stride, int64_t padding, int64_t dilation, const char* op);
// Throws unless weights, bias and groups fit `channels`.
void check_conv(const Infer& i, orr_dim channels, int64_t groups, const char* op);

}  // namespace orrery::core
