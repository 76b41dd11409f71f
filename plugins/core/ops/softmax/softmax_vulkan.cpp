// y = e^(x - max x) / sum e^(x - max x) along one axis; a line of -inf throughout gives zeros
// x, y: [..] f32. Device half: shaders/core/softmax/softmax.comp
#include "common/rows_vulkan.hpp"
#include "core/softmax/params.h"
#include "ops/softmax/softmax.hpp"
#include "softmax_shaders.hpp"

namespace orrery::core {
namespace {

bool supports(const orr_prepare* p, char* reason, size_t size) {
    return can_index(p, reason, size) && vk::can_run(vk::device(p), shaders::softmax, reason, size);
}

int32_t axis_of(const orr_attrs* attrs, const orr_tensor& x) {
    const int64_t given = attrs->get_int(attrs, "axis");
    return static_cast<int32_t>(given < 0 ? given + x.rank : given);
}

const orr_vulkan_shader& shader_of(const orr_vulkan_device& d, const RowForm& form) { return row_shader(d, form, shaders::softmax, shaders::softmax_subgroup); }

orr_status prepare(orr_prepare* p) {
    const orr_tensor& x = *p->inputs[0];
    p->variant(p, shader_of(vk::device(p), RowForm(x.shape[axis_of(p->attrs, x)])).name);
    return ORR_OK;
}

orr_status run(const orr_run* run) {
    const orr_tensor &x = *run->inputs[0], &y = *run->outputs[0];
    if (elements(x) == 0) return ORR_OK;
    const int32_t axis = axis_of(run->attrs, x);
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
    const RowForm form(p.n);
    return vk::dispatch(run, shader_of(vk::device(run), form), {form.lanes, form.kept, axes_of(lines)}, p, form.groups(p.lines));
}

}  // namespace

const KernelDef kSoftmaxVulkan = {"vulkan", "vulkan", 0, supports, prepare, run};

}  // namespace orrery::core
