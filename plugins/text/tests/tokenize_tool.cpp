// Encodes files with one tokeniser, for the comparisons in make_cases.py and by hand:
//   text_tokenize (json FILE | gguf-dump FOLDER) [--no-special] [--repeat N] [--decode] TEXT_FILE   ->  ids, one line; speed on stderr
#include <chrono>
#include <cstdio>
#include <cstring>
#include <fstream>
#include <iterator>
#include <string>

#include "../src/text.hpp"

namespace {
std::string slurp(const std::string& path) {
    std::ifstream file(path, std::ios::binary);
    return {std::istreambuf_iterator<char>(file), {}};
}
}  // namespace

int main(int argc, char** argv) try {
    if (argc < 4) return 2;
    using namespace orrery::text;
    bool add_special = true, decode = false;
    int repeat = 0;
    const char* text_file = nullptr;
    for (int i = 3; i < argc; ++i) {
        if (!std::strcmp(argv[i], "--no-special")) add_special = false;
        else if (!std::strcmp(argv[i], "--decode")) decode = true;
        else if (!std::strcmp(argv[i], "--repeat")) repeat = std::atoi(argv[++i]);
        else text_file = argv[i];
    }
    const auto now = [] { return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count(); };
    const double begin = now();
    std::unique_ptr<Tokenizer> tokenizer;
    std::string blob;
    if (!std::strcmp(argv[1], "json")) {
        tokenizer = Tokenizer::from_json(slurp(argv[2]));
    } else {
        blob = slurp(argv[2]);  // sections written by dump_gguf.py: name, type, count, data
        GgufVocab v;
        std::vector<float> scores;
        std::vector<int32_t> types;
        const char *p = blob.data(), *end = p + blob.size();
        const auto u32 = [&] { uint32_t x; std::memcpy(&x, p, 4); p += 4; return x; };
        const auto text = [&] { const uint32_t n = u32(); std::string_view s(p, n); p += n; return s; };
        while (p < end) {
            const std::string key(text());
            const char type = *p++;
            if (type == 's') {
                const std::string_view s = text();
                if (key == "model") v.model = s;
                else if (key == "pre") v.pre = s;
                else if (key == "chat_template") v.chat_template = s;
                else if (key == "precompiled_charsmap") v.precompiled_charsmap = s;
            } else if (type == 'u') {
                const uint32_t x = u32();
                if (key == "bos_token_id") v.bos = x;
                else if (key == "eos_token_id") v.eos = x;
                else if (key == "eot_token_id") v.eot = x;
                else if (key == "unknown_token_id") v.unk = x;
                else if (key == "padding_token_id") v.pad = x;
                else if (key == "add_bos_token") v.add_bos = x != 0;
                else if (key == "add_eos_token") v.add_eos = x != 0;
                else if (key == "add_space_prefix") v.add_space_prefix = x != 0;
                else if (key == "remove_extra_whitespaces") v.remove_extra_whitespaces = x != 0;
            } else {
                const uint32_t n = u32();
                for (uint32_t i = 0; i < n; ++i) {
                    if (key == "tokens") v.tokens.push_back(text());
                    else if (key == "merges") v.merges.push_back(text());
                    else if (key == "scores") { float f; std::memcpy(&f, p, 4); p += 4; scores.push_back(f); }
                    else types.push_back(static_cast<int32_t>(u32()));
                }
            }
        }
        v.scores = scores;
        v.token_types = types;
        tokenizer = Tokenizer::from_gguf(v);
    }
    std::fprintf(stderr, "load %.3f s, %u tokens\n", now() - begin, tokenizer->vocab_size());
    const std::string text = slurp(text_file);
    auto ids = tokenizer->encode(text, add_special);
    if (repeat) {
        double best = 1e9;
        for (int i = 0; i < repeat; ++i) {
            const double start = now();
            ids = tokenizer->encode(text, add_special);
            best = std::min(best, now() - start);
        }
        std::fprintf(stderr, "%.2f MB/s\n", static_cast<double>(text.size()) / 1e6 / best);
    }
    if (decode) {
        const std::string out = tokenizer->decode(ids, false);
        std::fwrite(out.data(), 1, out.size(), stdout);
        return 0;
    }
    for (uint32_t id : ids) std::printf("%u ", id);
    std::puts("");
} catch (const std::exception& e) {
    std::fprintf(stderr, "%s\n", e.what());
    return 1;
}
