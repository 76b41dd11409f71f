// What the parts of orr.roll/1 share.
#pragma once

#include "common/walk.hpp"

namespace orrery::core {

// Where output position 0 comes from along each axis of x.
Index roll_origins(const orr_attrs* attrs, const orr_tensor& x);

extern const KernelDef kRollVulkan;

}  // namespace orrery::core
