// Whether the tables of a plugin are whole: sizes, names, functions. What is checked here once is not asked again.
#pragma once
#include <string>

#include "orrery/plugin.h"

namespace orrery {

// `file` begins every message. Throws Error(ORR_ABI_MISMATCH) for another major or too small a struct, ORR_CORRUPT for
// what is missing.
void check_plugin(const orr_plugin& plugin, const std::string& file);
void check_tables(const orr_plugin& plugin, const std::string& file);

}  // namespace orrery
