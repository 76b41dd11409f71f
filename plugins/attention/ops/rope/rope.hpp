// The kernels of orr.rope/1.
#pragma once

#include "float_abi/float_abi.hpp"

namespace orrery::attention {

enum : uint32_t { kRopeX, kRopePositions, kRopeFreq, kRopeLongFreq };
extern const KernelDef kRopeVulkan;
extern const KernelDef kRopeCpu;
extern const KernelDef kRopeReference;

}  // namespace orrery::attention
