// The kernels of orr.sample/1 that have files of their own.
#pragma once

#include "orrery/plugin.hpp"

namespace orrery::language {
extern const KernelDef kSampleVulkan;
}  // namespace orrery::language
