// The symbols that a plugin file exports.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

namespace orrery::conformance {

struct Exports {
    bool known = false;              // false: not a format that is read here, `why` says which
    std::string why;
    std::vector<std::string> names;  // sorted; without what linkers add to every file (_init, _fini, _edata, _end, __bss_start)
};

// Reads the dynamic symbols of an ELF file, 32 or 64 bits, of this machine's byte order. Nothing in the file is trusted.
Exports read_exports(const std::filesystem::path& file);

}  // namespace orrery::conformance
