// The kernels of orr.rope_attention/1.
#pragma once

#include "common/attention.hpp"
#include "common/rotation.hpp"

namespace orrery::attention {

enum : uint32_t { kTurnQuery, kTurnKey, kTurnValue, kTurnKeyState, kTurnValueState, kTurnPositions, kTurnFreq, kTurnLongFreq, kTurnBias, kTurnMask };
inline constexpr RotationPorts kTurnPorts = {kTurnPositions, kTurnFreq, kTurnLongFreq};
inline constexpr RotationNames kTurnNames = {"rope_scale", "long_rope_scale"};
inline constexpr AttentionPorts kTurnAttention = {kTurnQuery, kTurnKeyState, kTurnValueState, kTurnBias, kTurnMask};
extern const KernelDef kRopeAttentionVulkan;
extern const KernelDef kRopeAttentionCpu;
extern const KernelDef kRopeAttentionReference;

// q as it is once turned: without gaps, at `data`; on a device, where the kernel says.
orr_tensor turned_query(const orr_tensor& q, void* data = nullptr);
// For supports(): inputs whose last axis is contiguous, as `takes` says, and paged states.
template <class Takes>
bool takes_layer(const orr_prepare* p, const Takes& takes, char* reason, size_t size) {
    constexpr std::pair<uint32_t, const char*> kRows[] = {{kTurnQuery, "q"}, {kTurnKey, "k"}, {kTurnValue, "v"}, {kTurnFreq, "inv_freq"}, {kTurnLongFreq, "long_inv_freq"}};
    for (const auto& [port, name] : kRows)
        if (!takes(flt::input(p, port), name, reason, size)) return false;
    return takes_pages(*p->inputs[kTurnKeyState], "k_state", reason, size) && takes_pages(*p->inputs[kTurnValueState], "v_state", reason, size);
}
// Throws unless both states hold what is appended and agree.
void check_states(const orr_run* run);

}  // namespace orrery::attention
