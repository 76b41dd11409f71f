// --tap, --control and --lora: what a command may look at and change inside a model.
#ifndef ORRERY_CLI_STEERING_HPP
#define ORRERY_CLI_STEERING_HPP

#include <string>
#include <vector>

#include "common.hpp"

namespace orrery::cli {

struct Steering {
    std::vector<std::string> taps;      // PATTERN=KIND[:ARGUMENT][@FIRST:END]
    std::vector<std::string> controls;  // NAME=VALUE
    std::vector<std::string> adapters;  // FOLDER[:SCALE]
};

// * stands for any text without a dot.
bool path_fits(const std::string& path, const std::string& pattern);
void add_steering(CLI::App& app, Steering& steering);
// Throws UsageError for what cannot be read, host::Error for what the engine refuses.
void steer(host::Session& session, const host::Model& model, const Steering& steering, const char* entry);

// What the session's runs took, beside the model with all controls neutral.
json work_of(const host::Session& session, const char* entry);
// "12.4 of 18 layers a run, 71 % of the FLOPs, 74 % of the weight bytes"; "" where nothing was left out or added.
std::string work_line(const json& work);

}  // namespace orrery::cli
#endif
