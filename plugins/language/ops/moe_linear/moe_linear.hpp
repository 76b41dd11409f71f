// orr.moe_linear/1, shared by its files.
#pragma once

#include <string>

#include "linear/weight.hpp"

namespace orrery::language {

enum MoeLinearInput : uint32_t { kMoeLinearX, kMoeLinearIds, kMoeLinearWeight };

inline std::string linear_expert_refusal(const std::string& id, const std::string& index, int64_t experts) {
    return "orr.moe_linear/1: expert " + id + " at index " + index + ", there are " + std::to_string(experts);
}
inline void check_linear_expert(int64_t id, int64_t index, int64_t experts) {
    if (id < 0 || id >= experts) throw Error(ORR_INVALID_ARGUMENT, linear_expert_refusal(std::to_string(id), std::to_string(index), experts));
}

extern const KernelDef kMoeLinearVulkan;
extern const KernelDef kMoeLinearCpu;
extern const KernelDef kMoeLinearReference;

}  // namespace orrery::language
