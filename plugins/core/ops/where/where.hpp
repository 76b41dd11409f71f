// The kernels of orr.where/1 that have a file of their own.
#pragma once

#include "orrery/plugin.hpp"

namespace orrery::core {
extern const KernelDef kWhereVulkan;
}  // namespace orrery::core
