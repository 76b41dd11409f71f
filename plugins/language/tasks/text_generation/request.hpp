// A request of the text_generation task, read from its JSON and checked.
#ifndef ORRERY_TASKS_REQUEST_HPP
#define ORRERY_TASKS_REQUEST_HPP

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "draft.hpp"
#include "sampler.hpp"

namespace orrery::text_generation {

extern const char* const kRequestDoc;

struct Request {
    // One of the three.
    std::optional<std::string> prompt;
    std::optional<std::string> messages_json;
    std::optional<std::vector<int32_t>> ids;
    std::string chat_options_json;
    int64_t max_tokens = 64;
    SamplerOptions sampler;
    std::vector<std::string> stop;
    bool logits_events = false;
    bool ignore_eog = false;
    Speculation speculate;
};

// Throws Error(ORR_INVALID_ARGUMENT) that names the field, its value and what it takes. vocabulary 0: unknown.
Request parse_request(const char* json, int64_t vocabulary);

}  // namespace orrery::text_generation
#endif
