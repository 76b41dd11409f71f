// The kernels of orr.layer_norm/1.
#pragma once

#include "common/row_op.hpp"

namespace orrery::core {
extern const KernelDef kLayerNormVulkan;
extern const KernelDef kLayerNormCpu;
extern const KernelDef kLayerNormReference;
}  // namespace orrery::core
