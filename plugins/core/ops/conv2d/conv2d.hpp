// The kernels of orr.conv2d/1.
#pragma once

#include "common/conv_op.hpp"

namespace orrery::core {

extern const KernelDef kConv2dVulkan;
extern const KernelDef kConv2dCpu;
extern const KernelDef kConv2dReference;

flt::ConvArgs read_conv2d(const orr_attrs* attrs, const orr_tensor& x, const orr_tensor& w, const orr_tensor& y);

}  // namespace orrery::core
