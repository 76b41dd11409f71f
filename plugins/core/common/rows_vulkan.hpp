// What kernels for rows share on a Vulkan device; device half: shaders/common/row.glsl.
#pragma once

#include "common/vulkan_walk.hpp"

namespace orrery::core {

// How a row of n elements is spread: told by n alone, so that a batch of N gives the bits of N batches.
struct RowForm {
    uint32_t lanes;  // invocations that share a row
    uint32_t kept;   // elements that each keeps in registers; 0: too many
    explicit RowForm(int64_t n) : lanes(n <= 256 ? 32 : 256) {
        const int64_t each = (n + lanes - 1) / lanes;
        kept = each <= 16 ? static_cast<uint32_t>(each) : 0;
    }
    vk::Groups groups(int64_t rows) const { return vk::groups(vk::divide_up(static_cast<uint64_t>(rows) * lanes, 256)); }
};

// Rows over a whole workgroup are summed by subgroups where the device has them.
inline const orr_vulkan_shader& row_shader(const orr_vulkan_device& d, const RowForm& form, const orr_vulkan_shader& plain, const orr_vulkan_shader& subgroup) {
    return form.lanes == 256 && vk::can_run(d, subgroup, nullptr, 0) ? subgroup : plain;
}

// Rows along the last axis of x, at equal distances.
template <const orr_vulkan_shader& Plain>
bool supports_rows_vulkan(const orr_prepare* p, char* reason, size_t size) {
    if (!can_index(p, reason, size)) return false;
    if (!vk::even_rows(*p->inputs[0])) return refuse(reason, size, "the rows of x lie at uneven distances");
    for (uint32_t n = 1; n < p->n_inputs; n++)
        if (p->inputs[n] && !is_contiguous(*p->inputs[n])) return refuse(reason, size, "a weight is not contiguous");
    return vk::can_run(vk::device(p), Plain, reason, size);
}

template <const orr_vulkan_shader& Plain, const orr_vulkan_shader& Subgroup>
orr_status prepare_rows_vulkan(orr_prepare* p) {
    const orr_tensor& x = *p->inputs[0];
    p->variant(p, row_shader(vk::device(p), RowForm(x.shape[x.rank - 1]), Plain, Subgroup).name);
    return ORR_OK;
}

// Records what is done to the rows of x.
template <const orr_vulkan_shader& Plain, const orr_vulkan_shader& Subgroup, class Push>
orr_status record_rows(const orr_run* run, const Push& push) {
    const RowForm form(push.n);
    return vk::dispatch(run, row_shader(vk::device(run), form, Plain, Subgroup), {form.lanes, form.kept}, push, form.groups(push.rows));
}

}  // namespace orrery::core
