// libFuzzer: the request of the text_generation task. Any text gives a request or an Error.
#include <string>

#include "orrery/plugin.hpp"
#include "plugins/language/tasks/text_generation/request.hpp"

extern "C" int LLVMFuzzerTestOneInput(const unsigned char* data, size_t size) {
    const std::string text(reinterpret_cast<const char*>(data), size);
    try {
        const auto request = orrery::text_generation::parse_request(text.c_str(), 1000);
        for (const auto& [id, bias] : request.sampler.logit_bias)
            if (id < 0 || id >= 1000) __builtin_trap();
        if (request.prompt.has_value() + request.ids.has_value() + request.messages_json.has_value() != 1) __builtin_trap();
    } catch (const orrery::Error&) {
    }
    return 0;
}
