// The kernels of orr.gather/1 that have a file of their own.
#pragma once

#include "orrery/plugin.hpp"

namespace orrery::core {
extern const KernelDef kGatherVulkan;
}  // namespace orrery::core
