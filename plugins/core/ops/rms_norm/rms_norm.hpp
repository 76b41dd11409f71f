// The kernels of orr.rms_norm/1.
#pragma once

#include "common/row_op.hpp"

namespace orrery::core {
extern const KernelDef kRmsNormCpu;
extern const KernelDef kRmsNormReference;
extern const KernelDef kRmsNormVulkan;
}  // namespace orrery::core
