// y[i] = f(x[i]) on a Vulkan device; device half: shaders/common/unary.glsl.
#pragma once

#include "common/unary_params.h"
#include "common/vulkan_walk.hpp"

namespace orrery::core {

// What the shader's f knows of the attributes.
struct UnaryArguments {
    uint32_t kind;
    float p0, p1;
};

template <const orr_vulkan_shader& Shader>
bool supports_unary_vulkan(const orr_prepare* p, char* reason, size_t size) {
    return can_index(p, reason, size) && vk::can_run(vk::device(p), Shader, reason, size);
}

template <const orr_vulkan_shader& Shader, UnaryArguments (*Arguments)(const orr_attrs*)>
orr_status run_unary_vulkan(const orr_run* run) {
    return guard(run->host, [&]() -> orr_status {
        const orr_tensor &x = *run->inputs[0], &y = *run->outputs[0];
        const UnaryArguments a = Arguments(run->attrs);
        auto loop = make_loop<2>(y.rank, shape_of(y), {strides_of(y), strides_of(x)});
        if (loop.rows == 0) return ORR_OK;
        shaders::UnaryParams p{};
        p.x = vk::address(&x);
        p.y = vk::address(&y);
        const auto quads = take_quads<2>(loop, {p.y, p.x});
        p.n = static_cast<uint32_t>(loop.rows * loop.inner);
        p.p0 = a.p0;
        p.p1 = a.p1;
        put_extents(loop, p.extent);
        put_strides(loop, 1, quads.unit[1], p.stride_x);
        return vk::dispatch(run, Shader, {axes_of(loop), a.kind, quads.form[1]}, p, groups_of(p.n));
    });
}

template <const orr_vulkan_shader& Shader, UnaryArguments (*Arguments)(const orr_attrs*)>
inline constexpr KernelDef kUnaryVulkan = {"vulkan", "vulkan", 0, supports_unary_vulkan<Shader>, nullptr, run_unary_vulkan<Shader, Arguments>};

}  // namespace orrery::core
