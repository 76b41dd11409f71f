// The part of the kit that opens the plugin, in this process or in one of its own.
#pragma once

#include <atomic>
#include <functional>
#include <nlohmann/json.hpp>
#include <set>
#include <string>

#include "kit.hpp"

namespace orrery::conformance {

// What is being done, where another process can read it after this one has died.
struct Progress {
    std::atomic<uint64_t> steps{0};
    std::atomic<uint64_t> seed{0};
    char op[128] = "";
    char where[1024] = "";
};

// Opens the plugin and checks it, passing over what is in `done` ("" is the plugin as a whole). emit gets one event after another:
// {"operators": [id…]}, {"begin": id}, {"failure": {…}}, {"done": id, "checks": …, "cases": …, "ran": […], "notes": […]}, {"error": text}; at the very end {"end": true}.
// own_process: stdout is a file of new_output(), and every child is the plugin's.
void work(const KitOptions& options, const std::set<std::string>& done, Progress& progress, const std::function<void(const nlohmann::json&)>& emit, bool own_process = false);

// Of an operator, "orr.add/1": its cases below one of the roots that the options allow; throws when there are none.
std::filesystem::path find_cases(const KitOptions& options, const std::string& id);
// "orr.add/1" -> "add"
std::string folder_of(const std::string& id);

}  // namespace orrery::conformance
