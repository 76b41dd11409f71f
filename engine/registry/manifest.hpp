// What a manifest says of a plugin: all that the engine must know before it loads the file.
#pragma once
#include <nlohmann/json.hpp>

#include "orrery/plugin.h"

namespace orrery {

// Of a plugin whose tables are whole. All but "file", the name of the library.
nlohmann::ordered_json manifest_of(const orr_plugin& plugin);

}  // namespace orrery
