// The kernels of orr.rope_append/1.
#pragma once

#include "common/paged.hpp"

namespace orrery::attention {

enum : uint32_t { kTurnQuery, kTurnKey, kTurnValue, kTurnKeyState, kTurnValueState, kTurnPositions, kTurnFreq, kTurnLongFreq };
extern const KernelDef kRopeAppendVulkan;
extern const KernelDef kRopeAppendCpu;
extern const KernelDef kRopeAppendReference;
// Throws unless both states hold what is appended.
void check_states(const orr_run* run);

}  // namespace orrery::attention
