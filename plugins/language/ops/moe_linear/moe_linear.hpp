// orr.moe_linear/1, shared by its files.
#pragma once

#include <string>

#include "linear/weight.hpp"

namespace orrery::language {

enum MoeLinearInput : uint32_t { kMoeLinearX, kMoeLinearIds, kMoeLinearWeight };

inline void check_linear_expert(int64_t id, int64_t index, int64_t experts) {
    if (id < 0 || id >= experts)
        throw Error(ORR_INVALID_ARGUMENT, "orr.moe_linear/1: expert " + std::to_string(id) + " at index " + std::to_string(index) + ", there are " +
                                              std::to_string(experts));
}

extern const KernelDef kMoeLinearVulkan;
extern const KernelDef kMoeLinearCpu;
extern const KernelDef kMoeLinearReference;

}  // namespace orrery::language
