// The conformance kit: checks one plugin file without an engine of its own. What is checked stands in README.md.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <vector>

namespace orrery::conformance {

struct KitOptions {
    std::filesystem::path plugin;
    std::vector<std::filesystem::path> types;  // plugins with block types and operators that the cases use; empty: those in the plugin's folder
    std::filesystem::path cases_root;          // empty: looked for, see README.md
    std::string op;                            // only this operator, "orr.add/1" or "add"; empty: all
    std::string isa;                           // only this instruction set; empty: all of this machine
    std::string device;                        // "vulkan", "vulkan:1": its kernels; empty: the processor's
    std::vector<std::string> without_shaders;  // of the device, by name; '*' stands for any text
    uint64_t seed = 1;                         // below 2^40
    std::optional<uint64_t> reproduce;         // a failure's seed: that unit of work alone, in this process
    int derived = 12;                          // shapes derived from a case
    int drawn = 24;                            // cases drawn from a descriptor
    double timeout_s = 120;                    // that one case may take; 0: none. Needs a process of its own
    bool own_process = true;                   // a crash and a hang are results then
};

// What was found wrong, where, and how to see it again.
struct Finding {
    std::string check, op, where, what;
    uint64_t seed = 0;
    std::string reason;  // of the list's entry, of findings that a list excuses
};

struct OperatorResult {
    std::string op;
    int64_t checks = 0, cases = 0;
    bool finished = false;  // false: crashed or stopped
};

struct KitResult {
    std::vector<OperatorResult> operators;
    std::vector<Finding> failures;
    std::vector<Finding> unsupported, expected;  // excused by the lists
    std::vector<std::string> ran, notes;
    int64_t checks = 0, cases = 0;
    bool good() const { return failures.empty(); }
};

// Checks the plugin. on_operator: told after each operator. Throws std::runtime_error for options that make no sense (no such
// operator, instruction set or device). With own_process no other thread of this process may hold locks meanwhile: it is forked;
// nor start processes: those that this one has not had before are taken for the plugin's and ended.
KitResult validate(const KitOptions& options, const std::function<void(const OperatorResult&)>& on_operator = {});

nlohmann::ordered_json to_json(const KitResult& result, const KitOptions& options);
// "op: where: what [check]".
std::string line_of(const Finding& f);
// The command that does it again.
std::string reproduce_command(const Finding& f, const KitOptions& options);

}  // namespace orrery::conformance
