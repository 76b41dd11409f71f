// The kernels of orr.causal_conv1d/1.
#pragma once

#include "common/rows_state.hpp"

namespace orrery::ssm {

enum : uint32_t { kConvX, kConvWeight, kConvBias, kConvState };
extern const KernelDef kCausalConv1dVulkan;
extern const KernelDef kCausalConv1dCpu;
extern const KernelDef kCausalConv1dReference;

inline bool wants_silu(const std::string& activation) {
    if (activation != "none" && activation != "silu") throw Error(ORR_INVALID_ARGUMENT, "orr.causal_conv1d/1: activation is \"" + activation + "\", known are none, silu");
    return activation == "silu";
}

}  // namespace orrery::ssm
