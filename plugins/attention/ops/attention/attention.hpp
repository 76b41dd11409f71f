// The kernels of orr.attention/1.
#pragma once

#include "common/attention.hpp"

namespace orrery::attention {

inline constexpr AttentionPorts kAttentionPorts = {0, 1, 2, 3, 4};
extern const KernelDef kAttentionVulkan;
extern const KernelDef kAttentionCpu;
extern const KernelDef kAttentionReference;

}  // namespace orrery::attention
