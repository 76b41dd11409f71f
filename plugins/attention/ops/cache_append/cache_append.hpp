// The kernels of orr.cache_append/1.
#pragma once

#include "common/paged.hpp"

namespace orrery::attention {
extern const KernelDef kCacheAppendVulkan;
extern const KernelDef kCacheAppendCpu;
extern const KernelDef kCacheAppendReference;
// Throws unless tokens past .. past + T of every sequence have a page.
void check_pages(const orr_tensor& state, const orr_tensor& x);
}  // namespace orrery::attention
