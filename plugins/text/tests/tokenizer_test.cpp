#include <atomic>
#include <cmath>
#include <thread>

#include "regex.hpp"
#include "test_files.hpp"
#include "text.hpp"
#include "unicode.hpp"

namespace orrery::text {
namespace {

using Ids = std::vector<uint32_t>;

std::string why(const std::string& json) {
    try {
        Tokenizer::from_json(json);
    } catch (const TextError& e) {
        return e.what();
    }
    return "no error";
}

std::string with(const std::string& part) { return R"({"model": {"type": "WordLevel", "vocab": {"[UNK]": 0, "a": 1}, "unk_token": "[UNK]"}, )" + part + "}"; }

std::string nested(const std::string& open, const std::string& inside, const std::string& close, int n) {
    std::string out;
    for (int i = 0; i < n; ++i) out += open;
    out += inside;
    for (int i = 0; i < n; ++i) out += close;
    return out;
}

TEST(Json, UnknownPartsAreNamed) {
    EXPECT_EQ(why(with(R"("normalizer": {"type": "Shout"})")), "normalizer: unknown type \"Shout\"");
    EXPECT_EQ(why(with(R"("pre_tokenizer": {"type": "X"})")), "pre_tokenizer: unknown type \"X\"");
    EXPECT_EQ(why(with(R"("decoder": {"type": "X"})")), "decoder: unknown type \"X\"");
    EXPECT_EQ(why(with(R"("post_processor": {"type": "X"})")), "post_processor: unknown type \"X\"");
    EXPECT_EQ(why(R"({"model": {"type": "Neural"}})"), "model: unknown type \"Neural\"");
    EXPECT_EQ(why(with(R"("version": "2.0")")), "tokenizer.json: version is \"2.0\", known is \"1.0\"");
    EXPECT_EQ(why(with(R"("pre_tokenizer": {"type": "Punctuation", "behavior": "Sideways"})")), "pre_tokenizer Punctuation: unknown behavior \"Sideways\"");
}

TEST(Json, LyingFilesGiveErrors) {
    EXPECT_NE(why("").find("tokenizer.json"), std::string::npos);
    EXPECT_NE(why("[]").find("array, not an object"), std::string::npos);
    EXPECT_NE(why("{\"model\": 7}").find("model: is number"), std::string::npos);
    EXPECT_NE(why("{\"model\": {\"type\": \"BPE\", \"vocab\": {\"a\": -1}, \"merges\": []}}").find("not a whole number"), std::string::npos);
    EXPECT_NE(why("{\"model\": {\"type\": \"BPE\", \"vocab\": {\"a\": 0}, \"merges\": [\"a b\"]}}").find("\"b\", which is not in the vocabulary"), std::string::npos);
    EXPECT_NE(why("{\"model\": {\"type\": \"BPE\", \"vocab\": {\"a\": 0}, \"merges\": [\"a b c\"]}}").find("merge 0"), std::string::npos);
    EXPECT_NE(why("{\"model\": {\"type\": \"BPE\", \"vocab\": {\"a\": 0}, \"merges\": [[\"a\"]]}}").find("merge 0"), std::string::npos);
    EXPECT_NE(why("{\"model\": {\"type\": \"Unigram\", \"vocab\": [[\"a\", 0]], \"unk_id\": 9}}").find("unk_id is 9, the vocabulary has 1"), std::string::npos);
    EXPECT_NE(why(with(R"("normalizer": {"type": "Precompiled", "precompiled_charsmap": "/////w=="})")).find("charsmap"), std::string::npos);
    EXPECT_NE(why(with(R"("normalizer": {"type": "Precompiled", "precompiled_charsmap": "a$"})")).find("base64"), std::string::npos);
    EXPECT_NE(why(with(R"("normalizer": {"type": "Replace", "pattern": {"Regex": "(["}, "content": ""})")).find("regular expression"), std::string::npos);
    EXPECT_NE(why(with("\"normalizer\": " + nested(R"({"type": "Sequence", "normalizers": [)", R"({"type": "NFC"})", "]}", 5000))).find("nested deeper"), std::string::npos);
    EXPECT_NE(why(with("\"decoder\": " + nested(R"({"type": "Sequence", "decoders": [)", R"({"type": "Fuse"})", "]}", 5000))).find("nested deeper"), std::string::npos);
    EXPECT_NE(why(with(R"("post_processor": {"type": "TemplateProcessing", "single": [{"SpecialToken": {"id": "[X]", "type_id": 0}}], "special_tokens": {}})")).find("has no \"[X]\""), std::string::npos);
    EXPECT_NE(why(with(R"("added_tokens": [{"content": "x"}])")).find("added_tokens: has no \"special\""), std::string::npos);
}

// Ids as far apart as they can be, and tokens as long.
TEST(Json, SparseIdsAndLongTokens) {
    const std::string big(100000, 'a');
    const auto t = Tokenizer::from_json(R"({"model": {"type": "WordLevel", "unk_token": "u", "vocab": {"u": 4294967000, ")" + big + R"(": 5}}})");
    EXPECT_EQ(t->vocab_size(), 4294967001u);
    EXPECT_EQ(t->encode(big, true), Ids{5});
    EXPECT_EQ(t->encode("x", true), Ids{4294967000u});
    EXPECT_EQ(t->id_to_token(4294967000u), "u");
    EXPECT_EQ(t->id_to_token(7), std::nullopt);
    EXPECT_EQ(t->decode(Ids{5, 7}, false), big);
}

// An added token that stretches over white space, and one that begins inside of what it took. Ids from tokenizers 0.23.3.
TEST(Added, WhiteSpaceThatStretches) {
    const auto ids = [](const std::string& flags, const char* text) {
        return Tokenizer::from_json(with(R"("added_tokens": [{"id": 2, "content": "  ", "special": false, "normalized": false, )" + flags + "}]"))->encode(text, false);
    };
    const std::string both = R"("lstrip": true, "rstrip": true, "single_word": false)", right = R"("lstrip": false, "rstrip": true, "single_word": false)";
    EXPECT_EQ(ids(both, "            "), (Ids{2}));
    EXPECT_EQ(ids(both, "{            }"), (Ids{0, 2, 0}));
    EXPECT_EQ(ids(right, "            "), (Ids{2, 2, 2, 2, 2, 2}));
    EXPECT_EQ(ids(R"("lstrip": true, "rstrip": true, "single_word": true)", "            "), (Ids{2}));
}

TEST(Json, CatastrophicPatternGivesAnError) {
    const auto t = Tokenizer::from_json(with(R"("pre_tokenizer": {"type": "Split", "pattern": {"Regex": "(a|aa)+$"}, "behavior": "Isolated", "invert": false})"));
    try {
        t->encode(std::string(5000, 'a') + '!', false);
        FAIL() << "no error";
    } catch (const TextError& e) {
        EXPECT_EQ(e.kind(), ErrorKind::limit);
        EXPECT_NE(std::string(e.what()).find("(a|aa)+$"), std::string::npos);
    }
    EXPECT_EQ(t->encode("a", false), Ids{1});  // still usable
}

// A word of a million symbols merges in well under the time that a quadratic way would take.
TEST(Bpe, LongWordsAreNotQuadratic) {
    const std::string json = R"({"model": {"type": "BPE", "vocab": {"a": 0, "aa": 1, "aaaa": 2, "aaaaaaaa": 3}, "merges": ["a a", "aa aa", "aaaa aaaa"]}})";
    const auto t = Tokenizer::from_json(json);
    const auto ids = t->encode(std::string(1 << 20, 'a'), false);
    EXPECT_EQ(ids, Ids((1 << 20) / 8, 3));
}

TEST(Special, SideFilesNameIds) {
    SideFiles side;
    side.tokenizer_config = R"({"bos_token": {"content": "a"}, "eos_token": "[UNK]", "chat_template": [{"name": "default", "template": "D"}, {"name": "tool_use", "template": "T"}]})";
    side.generation_config = R"({"eos_token_id": [1, 0, 99]})";
    const auto t = Tokenizer::from_json(with("\"decoder\": null"), side);
    EXPECT_EQ(t->special().bos, 1u);
    EXPECT_EQ(t->special().eos, 0u);
    EXPECT_EQ(t->special().eog, (Ids{0, 1}));
    EXPECT_EQ(t->bos_token(), "a");
    EXPECT_EQ(t->chat_template(), "D");
    EXPECT_EQ(t->tool_template(), "T");
    EXPECT_EQ(t->token_to_id("a"), 1u);
    EXPECT_EQ(t->token_to_id("zz"), std::nullopt);
    side.chat_template = "F";
    EXPECT_EQ(Tokenizer::from_json(with("\"decoder\": null"), side)->chat_template(), "F");
    side.tokenizer_config = "{";
    EXPECT_THROW(Tokenizer::from_json(with("\"decoder\": null"), side), TextError);
}

GgufVocab scored_vocab(std::vector<float>& scores, std::vector<int32_t>& types) {
    GgufVocab v;
    v.model = "llama";
    v.tokens = {"<unk>", "<s>", "</s>", "<0x41>", "<0xC3>", "<0xA9>", "\xE2\x96\x81", "a", "b", "ab", "\xE2\x96\x81" "ab", "<tool>", "  "};
    scores = {0, 0, 0, 0, 0, 0, -1, -2, -3, -1, -4, 0, 0};
    types = {2, 3, 3, 6, 6, 6, 1, 1, 1, 1, 1, 4, 4};
    v.scores = scores;
    v.token_types = types;
    return v;
}

TEST(Gguf, ScoredBpe) {
    std::vector<float> scores;
    std::vector<int32_t> types;
    GgufVocab v = scored_vocab(scores, types);
    const auto t = Tokenizer::from_gguf(v);
    EXPECT_EQ(t->encode("ab", true), (Ids{1, 10}));
    EXPECT_EQ(t->encode("ab", false), (Ids{10}));
    EXPECT_EQ(t->encode("", true), (Ids{1}));
    EXPECT_EQ(t->encode("A\xC3\xA9", false), (Ids{6, 3, 4, 5}));
    EXPECT_EQ(t->encode("ab<tool>ab</s>", false), (Ids{10, 11, 10, 2}));
    EXPECT_EQ(t->encode("a  b", false), (Ids{6, 7, 12, 6, 8}));
    EXPECT_EQ(t->decode(Ids{1, 10, 3, 4, 5, 2}, true), "abA\xC3\xA9");
    EXPECT_EQ(t->decode(Ids{4}, true), "\xEF\xBF\xBD");
    EXPECT_EQ(t->decode(Ids{1, 10}, false), "<s>ab");
    StreamDecoder stream(*t, true);
    EXPECT_EQ(stream.push(4), "");
    EXPECT_EQ(stream.push(5), "\xC3\xA9");
    EXPECT_EQ(stream.push(4), "");
    EXPECT_EQ(stream.push(7), "\xEF\xBF\xBD" "a");
    EXPECT_EQ(stream.finish(), "");
    v.add_space_prefix = false;
    v.add_bos = false;
    v.add_eos = true;
    EXPECT_EQ(Tokenizer::from_gguf(v)->encode("ab", true), (Ids{9, 2}));
    EXPECT_EQ(t->special().eog, (Ids{2}));
    EXPECT_TRUE(t->special().add_bos);
}

TEST(Gguf, WordPieceAndUnigram) {
    GgufVocab v;
    v.model = "bert";
    v.tokens = {"[PAD]", "[UNK]", "[CLS]", "[SEP]", "\xE2\x96\x81go", "ing", "\xE2\x96\x81!", "\xE2\x96\x81"};
    const std::vector<int32_t> types = {3, 3, 3, 3, 1, 1, 1, 1};
    v.token_types = types;
    v.bos = 2;
    v.unk = 1;
    v.sep = 3;
    EXPECT_EQ(Tokenizer::from_gguf(v)->encode("GOING go! zz", true), (Ids{2, 4, 5, 4, 6, 1, 3}));

    GgufVocab u;
    u.model = "t5";
    u.tokens = {"<pad>", "</s>", "<unk>", "\xE2\x96\x81", "\xE2\x96\x81" "a", "b", "ab"};
    const std::vector<float> scores = {0, 0, 0, -2, -3, -4, -6};
    const std::vector<int32_t> unigram_types = {3, 3, 2, 1, 1, 1, 1};
    u.scores = scores;
    u.token_types = unigram_types;
    EXPECT_EQ(Tokenizer::from_gguf(u)->encode("ab xyb", true), (Ids{4, 5, 3, 2, 5, 1}));
}

TEST(Gguf, BytePairs) {
    GgufVocab v;
    v.model = "gpt2";
    v.pre = "qwen2";
    std::vector<std::string> tokens;
    for (int b = 0; b < 256; ++b) {
        std::string s;
        const bool printable = (b >= '!' && b <= '~') || (b >= 0xA1 && b <= 0xAC) || b >= 0xAE;
        static int next = 256;
        if (b == 0) next = 256;
        utf8_append(s, static_cast<char32_t>(printable ? b : next++));
        tokens.push_back(s);
    }
    tokens.insert(tokens.end(), {"ab", "\xC4\xA0" "ab", "<|im_end|>"});
    for (const auto& t : tokens) v.tokens.push_back(t);
    v.merges = {"a b", "\xC4\xA0 ab", "no such"};
    std::vector<int32_t> types(tokens.size(), 1);
    types.back() = 3;
    v.token_types = types;
    v.eos = static_cast<uint32_t>(tokens.size() - 1);
    const auto t = Tokenizer::from_gguf(v);
    EXPECT_EQ(t->encode("ab ab<|im_end|>", true), (Ids{256, 257, 258}));
    EXPECT_EQ(t->decode(Ids{256, 257, 258, 0xC3, 0xA9}, true), "ab ab\xC3\xA9");
    v.pre = "from-next-year";
    try {
        Tokenizer::from_gguf(v);
        FAIL() << "no error";
    } catch (const TextError& e) {
        EXPECT_NE(std::string(e.what()).find("from-next-year"), std::string::npos);
    }
}

TEST(Gguf, LyingMetadata) {
    const auto fails = [](const GgufVocab& v, const std::string& part) {
        try {
            Tokenizer::from_gguf(v);
            ADD_FAILURE() << "no error, wanted " << part;
        } catch (const TextError& e) {
            EXPECT_NE(std::string(e.what()).find(part), std::string::npos) << e.what();
        }
    };
    std::vector<float> scores;
    std::vector<int32_t> types;
    GgufVocab v = scored_vocab(scores, types);
    v.scores = v.scores.subspan(0, 3);
    fails(v, "scores has 3 members, there are 13 tokens");
    v.scores = scores;
    v.token_types = v.token_types.subspan(0, 4);
    fails(v, "token_type has 4 members, there are 13 tokens");
    v.model = "abacus";
    fails(v, "abacus");
    v = {};
    v.model = "llama";
    fails(v, "tokens is missing");
    v.model = "gpt2";
    v.tokens = {"a"};
    fails(v, "merges is missing");
    v = scored_vocab(scores, types);
    v.bos = 4000000000u;
    v.eos = 77;
    scores[7] = std::nanf("");
    EXPECT_EQ(Tokenizer::from_gguf(v)->special().bos, 1u);
    v = {};
    v.model = "none";
    v.vocab_size = 32000;
    const auto none = Tokenizer::from_gguf(v);
    EXPECT_EQ(none->vocab_size(), 32000u);
    EXPECT_THROW(none->encode("a", false), TextError);
    EXPECT_EQ(none->decode(Ids{1, 2}, false), "");
}

TEST(Threads, EncodeTogether) {
    const auto t = Tokenizer::from_json(read_case_file("qwen2.json"));
    const std::string text = read_case_file("cases.jsonl").substr(0, 60000);
    const Ids want = t->encode(text, true);
    std::atomic<int> wrong = 0;
    std::vector<std::thread> threads;
    for (int i = 0; i < 4; ++i)
        threads.emplace_back([&] {
            for (int k = 0; k < 3; ++k) wrong += t->encode(text, true) != want;
        });
    for (auto& thread : threads) thread.join();
    EXPECT_EQ(wrong, 0);
}

TEST(Unicode, LossyAsPython) {
    // b'…'.decode('utf-8', 'replace') of Python 3.11
    const std::string r = "\xEF\xBF\xBD";
    EXPECT_EQ(utf8_lossy("a\xFFz"), "a" + r + "z");
    EXPECT_EQ(utf8_lossy("\xE2\x82"), r);
    EXPECT_EQ(utf8_lossy("\xE2\x28\xA1"), r + "(" + r);
    EXPECT_EQ(utf8_lossy("\xED\xA0\x80"), r + r + r);
    EXPECT_EQ(utf8_lossy("\xF0\x9F\x98" "A"), r + "A");
    EXPECT_EQ(utf8_lossy("\xC0\xAF"), r + r);
    EXPECT_EQ(utf8_lossy("\xF4\x90\x80\x80"), r + r + r + r);
    std::string bytes = "\xF0\x9F", out;
    utf8_drain(bytes, out);
    EXPECT_EQ(out, "");
    bytes += "\x98\x80";
    utf8_drain(bytes, out);
    EXPECT_EQ(out, "\xF0\x9F\x98\x80");
    EXPECT_EQ(bytes, "");
}

std::string matches(const std::string& pattern, const std::string& text) {
    const Regex regex(pattern);
    Regex::Finder finder(regex);
    finder.reset(text);
    std::string out;
    for (size_t b, e; finder.next(b, e);) {
        out += '[';
        out.append(text, b, e - b);
        out += ']';
    }
    return out;
}

TEST(Regexes, OnigurumaSyntax) {
    EXPECT_EQ(matches("[a-c&&[^b]]+", "abcab"), "[a][ca]");
    EXPECT_EQ(matches("[^a-c&&[^b]]", "abz"), "[b][z]");
    EXPECT_EQ(matches("[x[yz]]+", "xyzw"), "[xyz]");
    EXPECT_EQ(matches("\\h+", "zfF09g"), "[fF09]");
    EXPECT_EQ(matches("a{,2}b", "aab"), "[aab]");
    EXPECT_EQ(matches("(?m:a.b)", "a\nb"), "[a\nb]");
    EXPECT_EQ(matches("a.b", "a\nb"), "");
    EXPECT_EQ(matches("\\s+$", "a  \nb "), "[  ][ ]");
    EXPECT_EQ(matches("[[:alpha:]]+", "ab1\xC3\xA9"), "[ab][\xC3\xA9]");
    EXPECT_EQ(matches("\\p{L}+", "a\xF0\x96\xB5\x97z"), "[a\xF0\x96\xB5\x97z]");  // U+16D57, a letter since Unicode 16
    EXPECT_EQ(matches("\\P{L}", "a1"), "[1]");
    EXPECT_EQ(matches("\\s", "\xE1\xA0\x8E\xC2\xA0"), "[\xC2\xA0]");  // U+180E is no space
    EXPECT_EQ(matches("\\bx", "x ax x"), "[x][x]");
    EXPECT_EQ(matches("\\v", "\n\x0b"), "[\x0b]");
    EXPECT_EQ(matches("", "ab"), "[][][]");
    EXPECT_THROW(Regex("(?x) a"), TextError);
    EXPECT_THROW(Regex("[a"), TextError);
    EXPECT_THROW(Regex(std::string(1000, '(')), TextError);
}

}  // namespace
}  // namespace orrery::text
