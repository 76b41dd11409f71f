// A template, rendered over a fixed chat.
#include <string>

#include "text.hpp"
#include "unicode.hpp"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
    using namespace orrery::text;
    static const std::string variables =
        R"({"messages": [{"role": "system", "content": "Be brief."}, {"role": "user", "content": " Hi \u00e9 "}, {"role": "assistant", "content": "<think>x</think>y", "tool_calls": [{"function": {"name": "f", "arguments": {"a": [1, 2.5, null, true]}}}]}],)"
        R"("tools": [{"type": "function", "function": {"name": "f", "parameters": {"type": "object"}}}], "l": [3, 1, 2], "d": {"a": 1}, "bos_token": "<s>", "eos_token": "</s>", "add_generation_prompt": true})";
    try {
        const std::string out = ChatTemplate({reinterpret_cast<const char*>(data), size}).render(variables, 1000000000);
        if (!utf8_valid(out)) __builtin_trap();
    } catch (const TextError&) {
    }
    return 0;
}
