// The kernels of orr.conv1d/1.
#pragma once

#include "common/conv_op.hpp"

namespace orrery::core {

extern const KernelDef kConv1dVulkan;
extern const KernelDef kConv1dCpu;
extern const KernelDef kConv1dReference;

flt::ConvArgs read_conv1d(const orr_attrs* attrs, const orr_tensor& x, const orr_tensor& w, const orr_tensor& y);

}  // namespace orrery::core
