// orr.moe_ffn/1, shared by its files.
#pragma once

#include <string>

#include "linear/activation.hpp"
#include "linear/weight.hpp"

namespace orrery::language {

enum MoeInput : uint32_t { kMoeX, kMoeIds, kMoeWeights, kMoeGate, kMoeUp, kMoeDown };

inline constexpr const char* kMoeActivations = "silu|gelu|gelu_tanh|quick_gelu|relu|tanh|sigmoid";

inline flt::Activation moe_activation(const orr_attrs* a) {
    return linear::parse_activation("orr.moe_ffn/1", "activation", a->get_string(a, "activation"), kMoeActivations);
}

inline std::string expert_refusal(const std::string& id, const std::string& index, int64_t experts) {
    return "orr.moe_ffn/1: expert " + id + " at index " + index + ", there are " + std::to_string(experts);
}
inline void check_expert(int64_t id, int64_t index, int64_t experts) {
    if (id < 0 || id >= experts) throw Error(ORR_INVALID_ARGUMENT, expert_refusal(std::to_string(id), std::to_string(index), experts));
}

bool moe_ffn_self_test(const orr_prepare* node, uint32_t i, orr_self_test* test);
extern const KernelDef kMoeVulkan;
extern const KernelDef kMoeCpu;
extern const KernelDef kMoeReference;

}  // namespace orrery::language
