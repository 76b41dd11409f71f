// add, sub, mul, div, maximum, minimum on a Vulkan device; device half: shaders/common/binary.glsl.
#pragma once

#include "common/binary_params.h"
#include "common/vulkan_walk.hpp"

namespace orrery::core {

template <const orr_vulkan_shader& Shader>
bool supports_binary_vulkan(const orr_prepare* p, char* reason, size_t size) {
    return can_index(p, reason, size) && vk::can_run(vk::device(p), Shader, reason, size);
}

template <const orr_vulkan_shader& Shader>
orr_status run_binary_vulkan(const orr_run* run) {
    const orr_tensor &a = *run->inputs[0], &b = *run->inputs[1], &y = *run->outputs[0];
    const auto loop = make_loop<3>(y.rank, shape_of(y), {strides_of(y), broadcast_strides(a, y.rank), broadcast_strides(b, y.rank)});
    if (loop.rows == 0) return ORR_OK;
    shaders::BinaryParams p{};
    p.a = vk::address(&a);
    p.b = vk::address(&b);
    p.y = vk::address(&y);
    p.n = static_cast<uint32_t>(elements(y));
    put_extents(loop, p.extent);
    put_strides(loop, 1, a.block_bytes, p.stride_a);
    put_strides(loop, 2, b.block_bytes, p.stride_b);
    return vk::dispatch(run, Shader, {axes_of(loop), y.type}, p, groups_of(p.n));
}

template <const orr_vulkan_shader& Shader>
inline constexpr KernelDef kBinaryVulkan = {"vulkan", "vulkan", 0, supports_binary_vulkan<Shader>, nullptr, run_binary_vulkan<Shader>};

}  // namespace orrery::core
