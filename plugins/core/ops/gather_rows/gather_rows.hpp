// orr.gather_rows/1, shared by its files.
#pragma once

#include <string>

#include "orrery/plugin.hpp"

namespace orrery::core {
inline std::string gather_rows_refusal(const std::string& index, int64_t rows) { return "gather_rows: index " + index + " of a sequence of " + std::to_string(rows); }
extern const KernelDef kGatherRowsVulkan;
}  // namespace orrery::core
