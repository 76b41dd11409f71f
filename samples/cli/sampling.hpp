// Options of text generation, as `run` and `chat` take them.
#ifndef ORRERY_CLI_SAMPLING_HPP
#define ORRERY_CLI_SAMPLING_HPP

#include <optional>
#include <string>
#include <vector>

#include "common.hpp"

namespace orrery::cli {

struct Sampling {
    int64_t max_tokens = 256;
    double temperature = 0.8;
    int64_t top_k = 40;
    double top_p = 0.95;
    double min_p = 0;
    double repetition_penalty = 1;
    double presence_penalty = 0;
    double frequency_penalty = 0;
    std::optional<uint64_t> seed;  // absent: a new one each time
    std::vector<std::string> stop;
    bool ignore_eog = false;
    std::vector<std::string> speculate;  // lookup[:N], or controls NAME:VALUE
    std::optional<int64_t> draft;
};

void add_sampling(CLI::App& app, Sampling& sampling);
// The members of a text_generation request, without the prompt.
json sampling_request(const Sampling& sampling);

// Runs a text_generation request; pieces of text go to stdout as they come unless `quiet`. Ctrl-C ends it: `cancelled`
// is set and the result is what had come. progress: of the task's session; shown until the first text.
json generate(host::Task& task, const json& request, bool quiet, ProgressLine& progress, bool& cancelled);
// "12 prompt tokens at 1234/s, 34 tokens at 56.7/s"
std::string speed_line(const json& result);

}  // namespace orrery::cli
#endif
