// The kernels of orr.moe_route/1 that have files of their own.
#pragma once

#include "orrery/plugin.hpp"

namespace orrery::language {
extern const KernelDef kMoeRouteVulkan;
}  // namespace orrery::language
