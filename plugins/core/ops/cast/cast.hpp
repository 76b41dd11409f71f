// The kernels of orr.cast/1 that have a file of their own.
#pragma once

#include "orrery/plugin.hpp"

namespace orrery::core {
extern const KernelDef kCastVulkan;
}  // namespace orrery::core
