// The lines of the input: model, pre-tokeniser, then "t<type><score> token", "m left right", "b<id>", "e<id>", "u<id>", "c charsmap"; the rest
// after an empty line is the text.
#include <cstdlib>
#include <string>

#include "text.hpp"
#include "unicode.hpp"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
    using namespace orrery::text;
    std::string_view rest(reinterpret_cast<const char*>(data), size);
    const auto line = [&] {
        const size_t end = rest.find('\n');
        const std::string_view out = rest.substr(0, end);
        rest.remove_prefix(end == std::string_view::npos ? rest.size() : end + 1);
        return out;
    };
    GgufVocab v;
    v.model = line();
    v.pre = line();
    std::vector<float> scores;
    std::vector<int32_t> types;
    while (!rest.empty()) {
        const std::string_view l = line();
        if (l.empty()) break;
        const auto number = [&] { return static_cast<uint32_t>(std::strtoul(std::string(l.substr(1)).c_str(), nullptr, 10)); };
        if (l[0] == 't' && l.size() >= 3) {
            types.push_back(l[1] - '0');
            const size_t space = l.find(' ');
            scores.push_back(std::strtof(std::string(l.substr(2)).c_str(), nullptr));
            v.tokens.push_back(space == std::string_view::npos ? std::string_view() : l.substr(space + 1));
        } else if (l[0] == 'm' && l.size() > 2) {
            v.merges.push_back(l.substr(2));
        } else if (l[0] == 'b') {
            v.bos = number();
        } else if (l[0] == 'e') {
            v.eos = number();
        } else if (l[0] == 'u') {
            v.unk = number();
        } else if (l[0] == 'c' && l.size() > 2) {
            v.precompiled_charsmap = l.substr(2);
        } else if (l[0] == 's') {
            v.add_space_prefix = l.size() > 1;
            v.remove_extra_whitespaces = l.size() > 2;
        }
    }
    v.scores = scores;
    v.token_types = types;
    try {
        const auto tokenizer = Tokenizer::from_gguf(v);
        const auto ids = tokenizer->encode(rest, true);
        if (tokenizer->encode(rest, true) != ids) std::abort();
        if (!utf8_valid(tokenizer->decode(ids, false)) || !utf8_valid(tokenizer->decode(ids, true))) std::abort();
    } catch (const TextError&) {
    }
    return 0;
}
