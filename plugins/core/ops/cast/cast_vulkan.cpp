// y[i] = x[i] as another plain type, on a Vulkan device. Device half: shaders/core/cast/cast.comp
#include "cast_shaders.hpp"
#include "common/vulkan_walk.hpp"
#include "core/cast/params.h"
#include "ops/cast/cast.hpp"

namespace orrery::core {
namespace {

const orr_vulkan_shader& shader_of(uint32_t bytes) {
    switch (bytes) {
        case 1:
            return shaders::cast_8;
        case 2:
            return shaders::cast_16;
        case 4:
            return shaders::cast_32;
        default:
            return shaders::cast_64;
    }
}

bool supports(const orr_prepare* p, char* reason, size_t size) {
    if (p->inputs[0]->type == ORR_TYPE_F64) return refuse(reason, size, "x is f64, which devices need not have");
    return can_index(p, reason, size) && vk::can_run(vk::device(p), shader_of(p->outputs[0]->block_bytes), reason, size);
}

orr_status run(const orr_run* run) {
    const orr_tensor &x = *run->inputs[0], &y = *run->outputs[0];
    const auto loop = make_loop<2>(y.rank, shape_of(y), {strides_of(y), strides_of(x)});
    if (loop.rows == 0) return ORR_OK;
    shaders::CastParams p{};
    p.x = vk::address(&x);
    p.y = vk::address(&y);
    p.n = static_cast<uint32_t>(elements(y));
    put_extents(loop, p.extent);
    put_strides(loop, 1, x.block_bytes, p.stride_x);
    return vk::dispatch(run, shader_of(y.block_bytes), {axes_of(loop), x.type, y.type}, p, groups_of(p.n));
}

}  // namespace

const KernelDef kCastVulkan = {"vulkan", "vulkan", 0, supports, nullptr, run};

}  // namespace orrery::core
