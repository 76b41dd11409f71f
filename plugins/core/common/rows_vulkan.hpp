// What norms of rows share on a Vulkan device.
#pragma once

#include "common/vulkan_walk.hpp"

namespace orrery::core {

template <const orr_vulkan_shader& Shader>
bool supports_rows_vulkan(const orr_prepare* p, char* reason, size_t size) {
    if (!can_index(p, reason, size)) return false;
    if (!vk::even_rows(*p->inputs[0])) return refuse(reason, size, "the rows of x lie at uneven distances");
    for (uint32_t n = 1; n < p->n_inputs; n++)
        if (p->inputs[n] && !is_contiguous(*p->inputs[n])) return refuse(reason, size, "a weight is not contiguous");
    return vk::can_run(vk::device(p), Shader, reason, size);
}

}  // namespace orrery::core
