// The kernels of orr.l2_norm/1.
#pragma once

#include "common/row_op.hpp"

namespace orrery::core {
extern const KernelDef kL2NormVulkan;
extern const KernelDef kL2NormCpu;
extern const KernelDef kL2NormReference;
}  // namespace orrery::core
