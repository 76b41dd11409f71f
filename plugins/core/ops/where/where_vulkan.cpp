// y[i] = condition[i] ? a[i] : b[i] with broadcasting, on a Vulkan device. Device half: shaders/core/where/where.comp
#include "common/vulkan_walk.hpp"
#include "core/where/params.h"
#include "ops/where/where.hpp"
#include "where_shaders.hpp"

namespace orrery::core {
namespace {

constexpr uint32_t kMostAxes = 6;

Loop<4> loop_of(const orr_tensor* const* inputs, const orr_tensor& y) {
    return make_loop<4>(
        y.rank, shape_of(y),
        {strides_of(y), broadcast_strides(*inputs[0], y.rank), broadcast_strides(*inputs[1], y.rank), broadcast_strides(*inputs[2], y.rank)});
}

const orr_vulkan_shader& shader_of(uint32_t bytes) {
    switch (bytes) {
        case 1:
            return shaders::where_8;
        case 2:
            return shaders::where_16;
        case 4:
            return shaders::where_32;
        default:
            return shaders::where_64;
    }
}

bool supports(const orr_prepare* p, char* reason, size_t size) {
    if (!can_index(p, reason, size)) return false;
    const uint32_t axes = axes_of(loop_of(p->inputs, *p->outputs[0]));
    if (axes > kMostAxes)
        return refuse(reason, size,
                      "the inputs step along " + std::to_string(axes) + " axes that do not merge; it takes " + std::to_string(kMostAxes));
    return vk::can_run(vk::device(p), shader_of(p->outputs[0]->block_bytes), reason, size);
}

orr_status run(const orr_run* run) {
    const orr_tensor &c = *run->inputs[0], &a = *run->inputs[1], &b = *run->inputs[2], &y = *run->outputs[0];
    const auto loop = loop_of(run->inputs, y);
    if (loop.rows == 0) return ORR_OK;
    shaders::WhereParams p{};
    p.c = vk::address(&c);
    p.a = vk::address(&a);
    p.b = vk::address(&b);
    p.y = vk::address(&y);
    p.n = static_cast<uint32_t>(elements(y));
    put_extents(loop, p.extent);
    put_strides(loop, 1, c.block_bytes, p.stride_c);
    put_strides(loop, 2, a.block_bytes, p.stride_a);
    put_strides(loop, 3, b.block_bytes, p.stride_b);
    return vk::dispatch(run, shader_of(y.block_bytes), {axes_of(loop), c.type}, p, groups_of(p.n));
}

}  // namespace

const KernelDef kWhereVulkan = {"vulkan", "vulkan", 0, supports, nullptr, run};

}  // namespace orrery::core
