// The kernels of orr.cache_append/1.
#pragma once

#include "common/paged.hpp"

namespace orrery::attention {
extern const KernelDef kCacheAppendVulkan;
extern const KernelDef kCacheAppendCpu;
extern const KernelDef kCacheAppendReference;
}  // namespace orrery::attention
