// The kernels of orr.cumsum/1 that have a file of their own.
#pragma once

#include "orrery/plugin.hpp"

namespace orrery::core {
extern const KernelDef kCumsumVulkan;
}  // namespace orrery::core
