// What a plugin does not do: `<op>.unsupported` for ever, `<op>.expected_failures` for now. Both lie beside `<op>.cases`.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "checker.hpp"

namespace orrery::conformance {

struct Entry {
    std::filesystem::path file;
    int line = 0;
    bool temporary = false;  // an expected failure
    std::string op, select, device, reason;
    int matched = 0;

    std::string place() const { return file.filename().string() + ":" + std::to_string(line); }
};

// The two lists beside a file of cases; those that are not there are empty. Throws naming file and line for what is no entry.
std::vector<Entry> read_lists(const std::filesystem::path& cases);
// Whether the failure is one of those that the entry selects. device: of the run, "cpu" or as given.
bool selects(const Entry& entry, const Failure& failure, const std::string& device);
// `*` stands for any text.
bool matches(const std::string& pattern, const std::string& text);

}  // namespace orrery::conformance
