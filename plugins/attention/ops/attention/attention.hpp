// The kernels of orr.attention/1.
#pragma once

#include "common/scores.hpp"

namespace orrery::attention {

enum : uint32_t { kQuery, kKey, kValue, kBias, kKeyMask };
bool attention_self_test(const orr_prepare* node, uint32_t i, orr_self_test* test);
extern const KernelDef kAttentionVulkan;
extern const KernelDef kAttentionCpu;
extern const KernelDef kAttentionReference;

// Throws when a sequence is longer than the plan was made for, or keys and values disagree.
void check_lengths(const orr_tensor& q, const orr_tensor& k, const orr_tensor& v);

}  // namespace orrery::attention
