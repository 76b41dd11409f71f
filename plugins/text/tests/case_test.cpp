// Ids and texts from Hugging Face tokenizers; make_cases.py writes them, and names the version and seed in the first line of cases.jsonl.
#include <map>
#include <nlohmann/json.hpp>
#include <sstream>

#include "normalizer.hpp"
#include "test_files.hpp"
#include "text.hpp"

namespace orrery::text {
namespace {

struct Cases {
    std::vector<std::string> texts;
    std::map<std::string, std::vector<nlohmann::json>> rows;
};

const Cases& cases() {
    static const Cases all = [] {
        Cases c;
        std::istringstream lines(read_case_file("cases.jsonl"));
        std::string line;
        std::getline(lines, line);
        const auto head = nlohmann::json::parse(line);
        for (const auto& text : head["texts"]) c.texts.push_back(decode_base64(text.get<std::string>(), "texts"));
        while (std::getline(lines, line)) {
            auto row = nlohmann::json::parse(line);
            c.rows[row["t"]].push_back(std::move(row));
        }
        return c;
    }();
    return all;
}

using Ids = std::vector<uint32_t>;

std::string streamed(const Tokenizer& tokenizer, const Ids& ids, bool skip) {
    StreamDecoder stream(tokenizer, skip);
    std::string out;
    for (uint32_t id : ids) {
        const std::string part = stream.push(id);
        // Whole characters only: none begins with the rest of one, none ends early.
        EXPECT_TRUE(part.empty() || (static_cast<unsigned char>(part[0]) & 0xC0) != 0x80);
        out += part;
        EXPECT_NO_THROW(nlohmann::json(out).dump()) << "not UTF-8 after " << id;
    }
    return out + stream.finish();
}

class Tokenizers : public testing::TestWithParam<const char*> {};

TEST_P(Tokenizers, EqualHuggingFace) {
    const auto tokenizer = Tokenizer::from_json(read_case_file(std::string(GetParam()) + ".json"));
    const auto& rows = cases().rows.at(GetParam());
    ASSERT_GT(rows.size(), 50u);
    for (const auto& row : rows) {
        const std::string& text = cases().texts[row["x"].get<size_t>()];
        const Ids want = row["ids"].get<Ids>(), plain = row.contains("plain") ? row["plain"].get<Ids>() : want;
        EXPECT_EQ(tokenizer->encode(text, true), want) << "text " << row["x"];
        EXPECT_EQ(tokenizer->encode(text, false), plain) << "text " << row["x"];
        EXPECT_EQ(tokenizer->encode(text, true), want) << "a second time, text " << row["x"];
        if (!row.contains("decoded")) continue;
        EXPECT_EQ(tokenizer->decode(want, false), row["decoded"].get<std::string>()) << "text " << row["x"];
        EXPECT_EQ(tokenizer->decode(want, true), row["skipped"].get<std::string>()) << "text " << row["x"];
        EXPECT_EQ(streamed(*tokenizer, want, false), row["decoded"].get<std::string>()) << "text " << row["x"];
        EXPECT_EQ(streamed(*tokenizer, want, true), row["skipped"].get<std::string>()) << "text " << row["x"];
    }
}

INSTANTIATE_TEST_SUITE_P(All, Tokenizers,
                         testing::Values("gpt2", "llama3", "qwen2", "gpt4o", "smollm", "roberta", "gemma", "llama2", "mistral", "bert", "bert_cased", "t5", "xlmr", "albert", "unigram_bytes",
                                         "clip", "bpe_prefix", "word_level", "byte_normal", "split_merged_with_next", "split_merged_with_previous", "split_removed", "split_contiguous", "scripts"),
                         [](const auto& i) { return std::string(i.param); });

}  // namespace
}  // namespace orrery::text
