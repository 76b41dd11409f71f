// A tokeniser from GGUF metadata, with llama.cpp's semantics (src/llama-vocab.cpp): what encodes and decodes there does so here.
#include <algorithm>
#include <cfloat>

#include "byte_level.hpp"
#include "gguf_patterns.hpp"
#include "pipeline.hpp"
#include "unicode.hpp"

namespace orrery::text {
namespace {

enum TokenType : int32_t { kNormal = 1, kUnknown = 2, kControl = 3, kUserDefined = 4, kUnused = 5, kByte = 6 };

constexpr std::string_view kMark = "\xE2\x96\x81";

// Token texts that end generation in the models that use them.
constexpr std::string_view kEndNames[] = {"<|eot_id|>", "<|im_end|>", "<|end|>", "<|return|>", "<|call|>", "<|flush|>", "<|calls|>", "<end_of_turn>", "<|endoftext|>", "</s>",
                                          "<|eom_id|>", "<EOT>", "_<EOT>", "[EOT]", "[EOS]", "<|end_of_text|>", "<end_of_utterance>", "<eos>", "<turn|>", "<|tool_response>",
                                          "<\xEF\xBD\x9C" "end\xE2\x96\x81of\xE2\x96\x81sentence\xEF\xBD\x9C>", "[e~["};
// Fill-in-the-middle tokens: their first kind ends generation too.
constexpr std::string_view kMiddleEndNames[] = {"<|fim_pad|>", "<fim-pad>", "<fim_pad>", "<PAD>", "[PAD]", "<|fim_repo|>", "<|repo_name|>", "<fim-repo>", "<REPO>", "<reponame>", "<|file_sep|>"};
constexpr std::string_view kMiddleNames[] = {"<|fim_prefix|>", "<fim-prefix>", "<fim_prefix>", "<\xEF\xBD\x9C" "fim\xE2\x96\x81" "begin\xEF\xBD\x9C>", "<PRE>", "\xE2\x96\x81<PRE>", "<|code_prefix|>",
                                             "<|prefix|>", "<|fim_suffix|>", "<fim-suffix>", "<fim_suffix>", "<\xEF\xBD\x9C" "fim\xE2\x96\x81hole\xEF\xBD\x9C>", "<SUF>", "\xE2\x96\x81<SUF>",
                                             "<|code_suffix|>", "<|suffix|>", "<|fim_middle|>", "<fim-middle>", "<fim_middle>", "<\xEF\xBD\x9C" "fim\xE2\x96\x81" "end\xEF\xBD\x9C>", "<MID>",
                                             "\xE2\x96\x81<MID>", "<|code_middle|>", "<|middle|>"};
// Shown in the text although they are special.
constexpr std::string_view kShownNames[] = {"<|channel|>", "<|message|>", "<|start|>", "<|constrain|>"};

template <size_t N>
bool is_one_of(const std::string_view (&names)[N], std::string_view name) {
    return std::find(std::begin(names), std::end(names), name) != std::end(names);
}

// SentencePiece's normaliser for unigram models: rewrite rules, then white space.
class UnigramNormalizer : public Normalizer {
  public:
    UnigramNormalizer(Charsmap map, const std::vector<Trie::Key>& user_defined, bool prepend, bool merge) : map_(std::move(map)), prepend_(prepend), merge_(merge) {
        user_defined_.build(user_defined);
    }
    void apply(NormalText& t) const override {
        std::string out;
        out.reserve(t.text.size() * 3 / 2);
        bool prepended = false, in_word = false;
        std::string_view rest = t.text;
        while (!rest.empty()) {
            std::string_view part;
            size_t length = user_defined(rest);
            if (length > 0) part = rest.substr(0, length);
            else if (!map_.find(rest, true, part, length)) part = rest.substr(0, length = utf8_length(static_cast<unsigned char>(rest[0])));
            for (char c : part) {
                if (c == ' ') {
                    in_word = false;
                    if (!merge_) out.append(kMark);
                    continue;
                }
                if (!in_word) {
                    in_word = true;
                    if ((prepend_ && !prepended) || merge_) {
                        out.append(kMark);
                        prepended = true;
                    }
                }
                out += c;
            }
            rest.remove_prefix(length);
        }
        t.text = utf8_valid(out) ? std::move(out) : utf8_lossy(out);
    }

  private:
    size_t user_defined(std::string_view s) const {
        if (user_defined_.empty()) return 0;
        size_t found = 0;
        uint32_t node = user_defined_.root();
        for (size_t i = 0; i < s.size();) {
            node = user_defined_.child(node, static_cast<unsigned char>(s[i++]));
            if (node == kNone) break;
            if (user_defined_.value(node) != kNone) found = i;
        }
        return found;
    }
    Charsmap map_;
    Trie user_defined_;
    bool prepend_, merge_;
};

class GgufLoader {
  public:
    explicit GgufLoader(const GgufVocab& v) : v_(v), p_(std::make_unique<Pipeline>()) {}

    std::unique_ptr<Pipeline> load() {
        p_->gguf = true;
        p_->chat_template = v_.chat_template;
        if (v_.model == "none" || v_.model == "no_vocab") {
            p_->vocab_size = v_.vocab_size;
            return std::move(p_);
        }
        if (v_.model != "gpt2" && v_.model != "llama" && v_.model != "t5" && v_.model != "bert" && v_.model != "gemma4")
            throw TextError(ErrorKind::unsupported, "tokenizer.ggml.model is \"" + v_.model + "\"; known are gpt2, llama, t5, bert, gemma4 and none");
        check();
        read_tokens();
        special_ids();
        if (v_.model == "llama") load_scored();
        else if (v_.model == "t5") load_unigram();
        else if (v_.model == "bert") load_word_piece();
        else load_bpe();
        finish();
        return std::move(p_);
    }

  private:
    void check() const {
        const size_t n = v_.tokens.size();
        if (n == 0) throw TextError(ErrorKind::invalid_data, "tokenizer.ggml.tokens is missing or empty");
        if (n > (1u << 26)) throw TextError(ErrorKind::limit, "tokenizer.ggml.tokens has " + std::to_string(n) + " tokens, the limit is 67108864");
        if (!v_.token_types.empty() && v_.token_types.size() < n)
            throw TextError(ErrorKind::invalid_data, "tokenizer.ggml.token_type has " + std::to_string(v_.token_types.size()) + " members, there are " + std::to_string(n) + " tokens");
        if (!v_.scores.empty() && v_.scores.size() < n)
            throw TextError(ErrorKind::invalid_data, "tokenizer.ggml.scores has " + std::to_string(v_.scores.size()) + " members, there are " + std::to_string(n) + " tokens");
    }

    void read_tokens() {
        const size_t n = v_.tokens.size();
        p_->vocab_size = static_cast<uint32_t>(n);
        texts_.resize(n);
        types_.resize(n, kNormal);
        size_t bytes = 0;
        for (const auto token : v_.tokens) bytes += token.size();
        vocab_.reserve(n, bytes + 16);
        for (uint32_t i = 0; i < n; ++i) {
            const std::string_view token = v_.tokens[i];
            texts_[i] = token.empty() ? "[EMPTY_" + std::to_string(i) + "]" : utf8_valid(token) ? std::string(token) : utf8_lossy(token);
            if (!v_.token_types.empty()) types_[i] = v_.token_types[i];
            if (is_one_of(kShownNames, texts_[i])) types_[i] = kUserDefined;
            else if (types_[i] != kControl && (is_one_of(kEndNames, texts_[i]) || is_one_of(kMiddleNames, texts_[i]) || is_one_of(kMiddleEndNames, texts_[i]))) types_[i] = kControl;
            vocab_.set(texts_[i], i);
        }
        vocab_.finish();
    }

    std::optional<uint32_t> in_range(std::optional<uint32_t> id, std::optional<uint32_t> otherwise) const {
        if (id && *id < texts_.size()) return id;
        if (otherwise && *otherwise < texts_.size()) return otherwise;
        return std::nullopt;
    }

    void special_ids() {
        SpecialIds& s = p_->special;
        std::optional<uint32_t> bos, eos, unk, sep, pad, mask;
        if (v_.model == "llama") bos = 1, eos = 2, unk = 0;
        else if (v_.model == "bert") bos = 101, unk = 100, sep = 102, pad = 0, mask = 103;
        else if (v_.model == "t5") eos = 1, unk = 2, pad = 0;
        else if (v_.model == "gpt2") bos = 11, eos = 11;
        s.bos = in_range(v_.bos, bos);
        s.eos = in_range(v_.eos, eos);
        s.unk = in_range(v_.unk, unk);
        s.sep = in_range(v_.sep, sep);
        s.pad = in_range(v_.pad, pad);
        s.mask = in_range(v_.mask, mask);
        s.cls = in_range(v_.cls, s.bos);
        if (s.bos) p_->bos_token = texts_[*s.bos];
        if (s.eos) p_->eos_token = texts_[*s.eos];
        auto& eog = s.eog;
        for (uint32_t i = 0; i < texts_.size(); ++i)
            if (is_one_of(kEndNames, texts_[i]) || is_one_of(kMiddleEndNames, texts_[i])) eog.push_back(i);
        for (const auto id : {s.eos, in_range(v_.eot, {}), in_range(v_.eom, {})})
            if (id) eog.push_back(*id);
        const auto has = [&](std::string_view name) { return std::any_of(eog.begin(), eog.end(), [&](uint32_t id) { return texts_[id] == name; }); };
        const auto drop = [&](std::string_view name, int32_t type) {
            for (uint32_t id : eog)
                if (texts_[id] == name) types_[id] = type;
            std::erase_if(eog, [&](uint32_t id) { return texts_[id] == name; });
        };
        // "<|end|>" ends a part, not the turn, in the formats that have these; and "</s>" is plain text in Gemma 4.
        if (has("<|end|>") && (has("<|call|>") || has("<|calls|>")) && (has("<|return|>") || has("<|flush|>"))) drop("<|end|>", kUserDefined);
        if (has("<|tool_response>") && has("</s>")) drop("</s>", kNormal);
        std::sort(eog.begin(), eog.end());
        eog.erase(std::unique(eog.begin(), eog.end()), eog.end());
    }

    std::vector<float> scores() const {
        std::vector<float> out(texts_.size(), 0.0f);
        std::copy_n(v_.scores.begin(), std::min(out.size(), v_.scores.size()), out.begin());
        return out;
    }

    void load_scored() {
        p_->model = make_scored_bpe(std::move(vocab_), scores(), p_->special.unk);
        p_->space_prefix = p_->strip_space = v_.add_space_prefix.value_or(true);
        p_->escape_spaces = true;
        wrap_text(v_.add_bos.value_or(true), v_.add_eos.value_or(false));
    }

    void load_bpe() {
        const std::string name = v_.model == "gemma4" ? "gemma4" : v_.pre;
        const GgufPre* pre = find_gguf_pre(name);
        if (!pre) throw TextError(ErrorKind::unsupported, "tokenizer.ggml.pre is \"" + v_.pre + "\", an unknown pre-tokeniser");
        if (v_.merges.empty()) throw TextError(ErrorKind::invalid_data, "tokenizer.ggml.merges is missing, which the tokenizer model \"gpt2\" needs");
        std::vector<std::pair<std::string_view, std::string_view>> merges;
        merges.reserve(v_.merges.size());
        for (const std::string_view merge : v_.merges) {
            const size_t space = merge.find(' ', 1);
            if (space == std::string_view::npos) merges.push_back({{}, {}});  // keeps its rank
            else merges.push_back({merge.substr(0, space), merge.substr(space + 1)});
        }
        BpeOptions options;
        options.ignore_merges = pre->ignore_merges;
        options.byte_fallback = pre->raw;
        options.skip_unknown_merges = options.first_merge_counts = true;
        p_->model = make_bpe(std::move(vocab_), merges, options);
        std::vector<std::unique_ptr<PreTokenizer>> parts;
        for (const auto pattern : pre->patterns) parts.push_back(make_split(pattern, SplitBehavior::isolated, false));
        raw_ = pre->raw;
        p_->escape_spaces = raw_;
        if (!raw_) {
            parts.push_back(make_byte_level_pre_tokenizer(false, false));
            if (p_->model->accept_bytes()) parts.back()->keep_bytes_raw();
        }
        p_->pre_tokenizer = make_pre_tokenizer_sequence(std::move(parts));
        wrap_text(v_.add_bos.value_or(pre->add_bos) || name == "gemma4", v_.add_eos.value_or(false));
    }

    void load_unigram() {
        UnigramOptions options;
        options.unk = p_->special.unk;
        options.hidden.resize(texts_.size());
        std::vector<double> values(texts_.size(), 0);
        std::vector<Trie::Key> user_defined;
        const std::vector<float> read = scores();
        float lowest = FLT_MAX;
        for (uint32_t i = 0; i < texts_.size(); ++i) {
            values[i] = types_[i] == kUserDefined ? 0.0 : static_cast<double>(read[i]);
            if (types_[i] == kNormal) lowest = std::min(lowest, read[i]);
            if (types_[i] == kUserDefined) user_defined.push_back({texts_[i], i});
            options.hidden[i] = types_[i] != kNormal && types_[i] != kUserDefined && types_[i] != kUnused;
        }
        options.unk_score = static_cast<double>(lowest - 10.0f);
        p_->normalizer = std::make_unique<UnigramNormalizer>(Charsmap(v_.precompiled_charsmap, "tokenizer.ggml.precompiled_charsmap"), user_defined, v_.add_space_prefix.value_or(true),
                                                             v_.remove_extra_whitespaces.value_or(false));
        p_->strip_space = v_.add_space_prefix.value_or(true);
        p_->model = make_unigram(std::move(vocab_), std::move(values), options);
        wrap_text(v_.add_bos.value_or(false), v_.add_eos.value_or(true));
    }

    void load_word_piece() {
        const bool lower = v_.lowercase.value_or(true);
        p_->normalizer = make_bert_normalizer(true, true, v_.strip_accents.value_or(lower), lower);
        p_->pre_tokenizer = make_bert_pre_tokenizer();
        WordPieceOptions options;
        options.unk_token = p_->special.unk ? texts_[*p_->special.unk] : "[UNK]";
        options.first_prefix = kMark;
        options.rest_prefix.clear();
        options.max_chars = UINT64_MAX;
        p_->model = make_word_piece(std::move(vocab_), options);
        p_->strip_space = true;
        std::vector<uint32_t> before, after;
        if (p_->special.bos) before.push_back(*p_->special.bos);
        if (p_->special.sep) after.push_back(*p_->special.sep);
        p_->post.push_back(wrap(before, after));
        p_->special.add_bos = !before.empty();
    }

    void wrap_text(bool add_bos, bool add_eos) {
        SpecialIds& s = p_->special;
        std::vector<uint32_t> before, after;
        if (add_bos && s.bos) before.push_back(*s.bos);
        if (add_eos && s.eos) after.push_back(*s.eos);
        s.add_bos = !before.empty();
        s.add_eos = !after.empty();
        p_->post.push_back(wrap(before, after));
    }

    // Which special tokens take the white space beside them with them is not in the file; it hangs on the model's name.
    void strips(uint32_t id, bool& left, bool& right) const {
        const std::string& text = texts_[id];
        std::string name = v_.model_name;
        for (char& c : name) c = ascii_lower(c);
        const auto has = [](std::string_view s, std::string_view part) { return s.find(part) != std::string_view::npos; };
        if (has(v_.pre, "jina-v2-de") || has(v_.pre, "jina-v2-es") || has(v_.pre, "jina-v2-code") || has(v_.architecture, "nomic-bert-moe") || has(v_.architecture, "jina-bert-v3"))
            left = text == "<mask>";
        else if (has(name, "phi-3") || has(name, "phi3")) right = text != "<unk>" && text != "<s>" && text != "<|endoftext|>";
        else if (has(name, "modern-bert")) left = text == "[MASK]";
    }

    void finish() {
        const size_t n = texts_.size();
        std::vector<SpecialPartition::Token> special;
        p_->special_ids.resize(n);
        p_->pieces.resize(n);
        for (uint32_t i = 0; i < n; ++i) {
            p_->special_ids[i] = types_[i] == kControl || types_[i] == kUnknown;
            if (p_->special_ids[i] || types_[i] == kUserDefined) {
                bool left = false, right = false;
                strips(i, left, right);
                special.push_back({texts_[i], i, left, right});
            }
            p_->pieces[i] = piece(i);
        }
        p_->partition.build(special);
    }

    std::string piece(uint32_t id) const {
        const std::string& text = texts_[id];
        const int32_t type = types_[id];
        if (type == kControl || type == kUnknown || type == kUserDefined) return text;
        if (type == kByte && text.size() == 6 && text.starts_with("<0x")) {
            const auto digit = [](char c) { return c >= 'a' ? c - 'a' + 10 : c >= 'A' ? c - 'A' + 10 : c - '0'; };
            return std::string(1, static_cast<char>(digit(text[3]) * 16 + digit(text[4])));
        }
        if (type != kNormal) return {};
        std::string out;
        if ((v_.model == "gpt2") && !raw_) return byte_level_bytes(text, out) ? out : text;
        for (size_t at = 0; at < text.size();) {
            if (text.compare(at, kMark.size(), kMark) == 0) {
                out += ' ';
                at += kMark.size();
            } else {
                out += text[at++];
            }
        }
        return out;
    }

    const GgufVocab& v_;
    std::unique_ptr<Pipeline> p_;
    Vocab vocab_;
    std::vector<std::string> texts_;
    std::vector<int32_t> types_;
    bool raw_ = false;
};

}  // namespace

std::unique_ptr<Pipeline> load_gguf(const GgufVocab& vocab) { return GgufLoader(vocab).load(); }

}  // namespace orrery::text
