// The kernels of orr.softmax/1.
#pragma once

#include "common/row_op.hpp"

namespace orrery::core {
extern const KernelDef kSoftmaxVulkan;
extern const KernelDef kSoftmaxCpu;
extern const KernelDef kSoftmaxReference;
}  // namespace orrery::core
