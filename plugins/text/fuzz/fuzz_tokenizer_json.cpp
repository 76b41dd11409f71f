// A tokenizer.json, a zero byte, and a text to encode.
#include <cstdlib>
#include <string>

#include "text.hpp"
#include "unicode.hpp"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
    using namespace orrery::text;
    const std::string_view all(reinterpret_cast<const char*>(data), size);
    const size_t zero = all.find('\0');
    const std::string_view json = all.substr(0, zero), text = zero == std::string_view::npos ? "Hello \xC3\xA9\xE2\x96\x81 1 <s>\n" : all.substr(zero + 1);
    try {
        const auto tokenizer = Tokenizer::from_json(json);
        const auto ids = tokenizer->encode(text, true);
        if (tokenizer->encode(text, true) != ids) std::abort();
        for (const bool skip : {false, true}) {
            const std::string whole = tokenizer->decode(ids, skip);
            StreamDecoder stream(*tokenizer, skip);
            std::string parts;
            for (uint32_t id : ids) {
                const std::string part = stream.push(id);
                if (!utf8_valid(part)) std::abort();
                parts += part;
            }
            if (parts + stream.finish() != whole) std::abort();
        }
    } catch (const TextError&) {
    }
    return 0;
}
