// The kernels of orr.attention_probabilities/1.
#pragma once

#include "common/attention.hpp"

namespace orrery::attention {

enum : uint32_t { kWeighedQuery, kWeighedKey, kWeighedBias, kWeighedMask };
bool probabilities_self_test(const orr_prepare* node, uint32_t i, orr_self_test* test);
extern const KernelDef kProbabilitiesVulkan;
extern const KernelDef kProbabilitiesCpu;
extern const KernelDef kProbabilitiesReference;

// Throws when a sequence is longer than the plan was made for.
void check_keys(const orr_tensor& q, const orr_tensor& k);

}  // namespace orrery::attention
