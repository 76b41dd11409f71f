// y[t] = x[0] + … + x[t] along an axis, on a Vulkan device. Device half: shaders/core/cumsum/cumsum.comp
#include "common/vulkan_walk.hpp"
#include "core/cumsum/params.h"
#include "cumsum_shaders.hpp"
#include "ops/cumsum/cumsum.hpp"

namespace orrery::core {
namespace {

bool supports(const orr_prepare* p, char* reason, size_t size) {
    return can_index(p, reason, size) && vk::can_run(vk::device(p), shaders::cumsum, reason, size);
}

orr_status run(const orr_run* run) {
    return guard(run->host, [&]() -> orr_status {
        const orr_tensor &x = *run->inputs[0], &y = *run->outputs[0];
        if (elements(y) == 0) return ORR_OK;
        const int32_t axis = normal_axis(run->attrs->get_int(run->attrs, "axis"), x.rank, "cumsum");
        const Loop<2> lines = lines_along(x, y, axis);
        shaders::CumsumParams p{};
        p.x = vk::address(&x);
        p.y = vk::address(&y);
        p.lines = static_cast<uint32_t>(lines.rows * lines.inner);
        p.n = static_cast<uint32_t>(x.shape[axis]);
        p.step_x = x.shape[axis] == 1 ? 0 : static_cast<uint32_t>(x.stride_bytes[axis] / x.block_bytes);
        p.step_y = static_cast<uint32_t>(y.stride_bytes[axis] / y.block_bytes);
        put_extents(lines, p.extent);
        put_strides(lines, 0, x.block_bytes, p.stride_x);
        put_strides(lines, 1, y.block_bytes, p.stride_y);
        return vk::dispatch(run, shaders::cumsum, {axes_of(lines), x.type}, p, vk::groups(p.lines));
    });
}

}  // namespace

const KernelDef kCumsumVulkan = {"vulkan", "vulkan", 0, supports, nullptr, run};

}  // namespace orrery::core
