// orr.gather/1, shared by its files.
#pragma once

#include <string>

#include "orrery/plugin.hpp"

namespace orrery::core {
inline std::string gather_refusal(const std::string& index, int64_t extent) { return "gather: index " + index + " of an axis of " + std::to_string(extent); }
extern const KernelDef kGatherVulkan;
}  // namespace orrery::core
