// The kernels of orr.sample/1 that have files of their own.
#pragma once

#include "orrery/plugin.hpp"

namespace orrery::core {
extern const KernelDef kSampleVulkan;
}  // namespace orrery::core
