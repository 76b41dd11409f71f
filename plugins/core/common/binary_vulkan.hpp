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
    auto loop = make_loop<3>(y.rank, shape_of(y), {strides_of(y), broadcast_strides(a, y.rank), broadcast_strides(b, y.rank)});
    if (loop.rows == 0) return ORR_OK;
    shaders::BinaryParams p{};
    p.a = vk::address(&a);
    p.b = vk::address(&b);
    p.y = vk::address(&y);
    Quads<3> quads{{}, {0, a.block_bytes, b.block_bytes}};
    if (y.type == ORR_TYPE_F32) quads = take_quads<3>(loop, {p.y, p.a, p.b});
    p.n = static_cast<uint32_t>(loop.rows * loop.inner);
    put_extents(loop, p.extent);
    put_strides(loop, 1, quads.unit[1], p.stride_a);
    put_strides(loop, 2, quads.unit[2], p.stride_b);
    return vk::dispatch(run, Shader, {axes_of(loop), y.type, quads.form[1], quads.form[2]}, p, groups_of(p.n));
}

template <const orr_vulkan_shader& Shader>
inline constexpr KernelDef kBinaryVulkan = {"vulkan", "vulkan", 0, supports_binary_vulkan<Shader>, nullptr, run_binary_vulkan<Shader>};

}  // namespace orrery::core
