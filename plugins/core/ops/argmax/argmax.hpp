// The kernels of orr.argmax/1 that have a file of their own.
#pragma once

#include "orrery/plugin.hpp"

namespace orrery::core {
extern const KernelDef kArgmaxVulkan;
}  // namespace orrery::core
