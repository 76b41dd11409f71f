// Copies between strided places on a Vulkan device; device half: shaders/core/copy/copy.comp.
#pragma once

#include "common/vulkan_walk.hpp"

namespace orrery::core {

// Whether the device copies elements of so many bytes.
bool can_copy(const orr_prepare* p, int64_t bytes, char* reason, size_t size);

// Records the copy of every index of the shape from address src to address dst; strides in bytes, not negative. bytes: 1, 2, 4 or 8.
orr_status record_copy(const orr_run* run, int32_t rank, const Index& shape, uint64_t dst, const Index& stride_dst, uint64_t src,
                       const Index& stride_src, int64_t bytes);

}  // namespace orrery::core
