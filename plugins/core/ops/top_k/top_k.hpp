// The kernels of orr.top_k/1 that have a file of their own.
#pragma once

#include "orrery/plugin.hpp"

namespace orrery::core {
extern const KernelDef kTopKVulkan;
}  // namespace orrery::core
