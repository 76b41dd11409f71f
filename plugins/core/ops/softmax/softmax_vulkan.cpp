// y = e^(x - max x) / sum e^(x - max x) along one axis; a line of -inf throughout gives zeros
// x, y: [..] f32. Device half: shaders/core/softmax/softmax.comp
#include "common/vulkan_walk.hpp"
#include "core/softmax/params.h"
#include "ops/softmax/softmax.hpp"
#include "softmax_shaders.hpp"

namespace orrery::core {
namespace {

bool supports(const orr_prepare* p, char* reason, size_t size) { return can_index(p, reason, size) && vk::can_run(vk::device(p), shaders::softmax, reason, size); }

orr_status run(const orr_run* run) {
    const orr_tensor &x = *run->inputs[0], &y = *run->outputs[0];
    if (elements(x) == 0) return ORR_OK;
    const int64_t given = run->attrs->get_int(run->attrs, "axis");
    const auto axis = static_cast<int32_t>(given < 0 ? given + x.rank : given);
    const Loop<2> lines = lines_along(x, y, axis);
    shaders::SoftmaxParams p{};
    p.x = vk::address(&x);
    p.y = vk::address(&y);
    p.lines = static_cast<uint32_t>(lines.rows * lines.inner);
    p.n = static_cast<uint32_t>(x.shape[axis]);
    p.step_x = static_cast<uint32_t>(x.stride_bytes[axis] / 4);
    p.step_y = static_cast<uint32_t>(y.stride_bytes[axis] / 4);
    put_extents(lines, p.extent);
    put_strides(lines, 0, 4, p.stride_x);
    put_strides(lines, 1, 4, p.stride_y);
    return vk::dispatch(run, shaders::softmax, {axes_of(lines)}, p, vk::groups(p.lines));
}

}  // namespace

const KernelDef kSoftmaxVulkan = {"vulkan", "vulkan", 0, supports, nullptr, run};

}  // namespace orrery::core
