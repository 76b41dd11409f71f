// The checks of a plugin as a whole: its file, its tables, its manifest, loading it again and again.
#pragma once

#include <filesystem>
#include <string>

#include "checker.hpp"

namespace orrery::conformance {

// Opens a plugin and calls its entry; throws with the reason when it is none for us. The tables are seen to be whole. Stays loaded.
const orr_plugin* open_plugin(const std::filesystem::path& file, const orr_host* host);

// All that the tables say, but for the addresses of functions.
std::string tables_text(const orr_plugin& plugin);

// Exported symbols, manifest against contents, load and unload, what the engine finds when it scans again.
void check_plugin_file(const std::filesystem::path& file, Host& host, Report& report);

// Threads of this process; -1 where that cannot be told.
int64_t thread_count();
// Files that it has open; -1 where that cannot be told.
int64_t open_file_count();

}  // namespace orrery::conformance
