// The place of the largest element along an axis, on a Vulkan device. Device half: shaders/core/argmax/argmax.comp
#include "argmax_shaders.hpp"
#include "common/vulkan_walk.hpp"
#include "core/argmax/params.h"
#include "ops/argmax/argmax.hpp"

namespace orrery::core {
namespace {

bool supports(const orr_prepare* p, char* reason, size_t size) {
    return can_index(p, reason, size) && vk::can_run(vk::device(p), shaders::argmax, reason, size);
}

orr_status run(const orr_run* run) {
    return guard(run->host, [&]() -> orr_status {
        const orr_tensor &x = *run->inputs[0], &y = *run->outputs[0];
        if (elements(y) == 0) return ORR_OK;
        const int32_t axis = normal_axis(run->attrs->get_int(run->attrs, "axis"), x.rank, "argmax");
        const Loop<2> lines = lines_along(x, x, axis);
        shaders::ArgmaxParams p{};
        p.x = vk::address(&x);
        p.y = vk::address(&y);
        p.lines = static_cast<uint32_t>(elements(y));
        p.n = static_cast<uint32_t>(x.shape[axis]);
        p.step_x = x.shape[axis] == 1 ? 0 : static_cast<uint32_t>(x.stride_bytes[axis] / x.block_bytes);
        put_extents(lines, p.extent);
        put_strides(lines, 0, x.block_bytes, p.stride_x);
        return vk::dispatch(run, shaders::argmax, {axes_of(lines), x.type}, p, vk::groups(p.lines));
    });
}

}  // namespace

const KernelDef kArgmaxVulkan = {"vulkan", "vulkan", 0, supports, nullptr, run};

}  // namespace orrery::core
