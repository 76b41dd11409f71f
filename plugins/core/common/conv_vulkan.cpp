// Both convolutions on a Vulkan device; device half: shaders/core/conv2d. conv1d is conv2d of height 1.
#include "common/conv_op.hpp"
#include "common/vulkan_walk.hpp"
#include "conv2d_shaders.hpp"
#include "core/conv2d/params.h"

namespace orrery::core {
namespace {

constexpr int64_t kTile = 64;

// By channels and taps alone, so that a batch of N gives the bits of N batches.
const orr_vulkan_shader& shader_of(const flt::ConvArgs& a) {
    return a.group_out() >= 8 && a.group_in() * a.kernel_h * a.kernel_w >= 8 ? shaders::conv_tiles : shaders::conv_direct;
}

uint32_t u(int64_t v) { return static_cast<uint32_t>(v); }

}  // namespace

bool supports_conv_vulkan(const orr_prepare* p, ConvReader reader, char* reason, size_t size) {
    const orr_tensor& w = *p->inputs[1];
    if (!can_index(p, reason, size)) return false;
    if (!is_contiguous(w)) return refuse(reason, size, "w is not contiguous");
    const orr_tensor* bias = vk::input(p, 2);
    if (bias && !is_contiguous(*bias)) return refuse(reason, size, "bias is not contiguous");
    const flt::ConvArgs a = reader(p->attrs, *p->inputs[0], w, *p->outputs[0]);
    for (const auto& [extent, padding] : {std::pair(a.height, a.pad_h), std::pair(a.width, a.pad_w)})
        if (padding >= kDeviceElems / 4 || extent >= kDeviceElems / 4)
            return refuse(reason, size,
                          "an axis of " + std::to_string(extent) + " with " + std::to_string(padding) + " zeros on each side; it counts to 2^29");
    for (const int64_t step : {a.stride_h, a.stride_w, a.dilation_h, a.dilation_w})
        if (step >= kDeviceElems / 4) return refuse(reason, size, "a step of " + std::to_string(step) + "; it counts to 2^29");
    return vk::can_run(vk::device(p), shader_of(a), reason, size);
}

orr_status prepare_conv_vulkan(orr_prepare* p, ConvReader reader) {
    return guard(p->host, [&] { p->variant(p, shader_of(reader(p->attrs, *p->inputs[0], *p->inputs[1], *p->outputs[0])).name); });
}

orr_status run_conv_vulkan(const orr_run* run, ConvReader reader) {
    return guard(run->host, [&]() -> orr_status {
        const orr_tensor &x = *run->inputs[0], &w = *run->inputs[1], &y = *run->outputs[0];
        if (elements(y) == 0) return ORR_OK;
        const orr_tensor* bias = vk::input(run, 2);
        const flt::ConvArgs a = reader(run->attrs, x, w, y);
        shaders::ConvParams p{};
        p.x = vk::address(&x);
        p.w = vk::address(&w);
        p.bias = vk::address(bias);
        p.y = vk::address(&y);
        p.pixels = u(a.batch * a.out_height() * a.out_width());
        p.out_channels = u(a.out_channels);
        p.group_in = u(a.group_in()), p.group_out = u(a.group_out());
        p.kernel_h = u(a.kernel_h), p.kernel_w = u(a.kernel_w);
        p.height = u(a.height), p.width = u(a.width), p.out_h = u(a.out_height()), p.out_w = u(a.out_width());
        p.stride_h = u(a.stride_h), p.stride_w = u(a.stride_w);
        p.pad_h = static_cast<int32_t>(a.pad_h), p.pad_w = static_cast<int32_t>(a.pad_w);
        p.dilation_h = u(a.dilation_h), p.dilation_w = u(a.dilation_w);
        p.x_batch = u(a.x_batch), p.x_channel = u(a.x_channel), p.x_row = u(a.x_row), p.x_col = u(a.x_col);
        p.y_batch = u(a.y_batch), p.y_channel = u(a.y_channel), p.y_col = u(a.y_col);
        const orr_vulkan_shader& shader = shader_of(a);
        const uint32_t bias_type = bias ? bias->type : uint32_t{ORR_TYPE_F32}, activation = static_cast<uint32_t>(a.activation);
        if (&shader == &shaders::conv_direct)
            return vk::dispatch(run, shader, {w.type, bias_type, activation, a.y_channel == 1}, p, groups_of(elements(y)));
        const uint64_t tiles =
            vk::divide_up(static_cast<uint64_t>(a.group_out()), kTile) * vk::divide_up(p.pixels, kTile) * static_cast<uint64_t>(a.groups);
        return vk::dispatch(run, shader, {w.type, bias_type, activation}, p, vk::groups(tiles));
    });
}

bool self_test_conv(const orr_prepare* node, uint32_t i, orr_self_test* test, ConvReader reader, int32_t first, int32_t axes) {
    if (i > 0) return false;
    const flt::ConvArgs a = reader(node->attrs, *node->inputs[0], *node->inputs[1], *node->outputs[0]);
    int64_t* const shape = test->inputs[0]->shape;
    shape[0] = 1;
    // What eleven outputs read.
    const int64_t reach[] = {(a.kernel_h - 1) * a.dilation_h + 1 + 10 * a.stride_h, (a.kernel_w - 1) * a.dilation_w + 1 + 10 * a.stride_w};
    for (int32_t k = 0; k < axes; ++k) shape[first + k] = std::min(shape[first + k], reach[2 - axes + k]);
    return true;
}

}  // namespace orrery::core
