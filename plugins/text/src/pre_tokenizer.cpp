// The semantics are those of Hugging Face tokenizers 0.23 (tokenizers/src/pre_tokenizers/, tokenizer/normalizer.rs: split).
#include "pre_tokenizer.hpp"

#include <algorithm>

#include "byte_level.hpp"
#include "regex.hpp"
#include "unicode.hpp"

namespace orrery::text {
namespace {

struct Span {
    size_t begin, end;
    bool match;
};

// Turns the matches and gaps of one piece into pieces; begins and ends count from `base`.
class Splitter {
  public:
    Splitter(SplitBehavior behavior, bool invert) : behavior_(behavior), invert_(invert) {}

    void begin() { spans_.clear(); }
    void add(size_t from, size_t to, bool match) { spans_.push_back({from, to, match != invert_}); }

    void emit(const Piece& parent, std::vector<Piece>& out) {
        switch (behavior_) {
            case SplitBehavior::removed:
                std::erase_if(spans_, [](const Span& s) { return s.match; });
                break;
            case SplitBehavior::isolated: break;
            case SplitBehavior::contiguous: fold([](bool now, bool before) { return now == before; }); break;
            case SplitBehavior::merged_with_previous: fold([](bool now, bool before) { return now && !before; }); break;
            case SplitBehavior::merged_with_next:
                std::reverse(spans_.begin(), spans_.end());
                fold([](bool now, bool before) { return now && !before; });
                std::reverse(spans_.begin(), spans_.end());
                break;
        }
        for (const Span& s : spans_)
            if (s.end > s.begin) out.push_back({parent.begin + s.begin, parent.begin + s.end, parent.at_origin && s.begin == 0});
    }

  private:
    // Joins a span to the one before it where joins(it matches, the one before matched).
    template <class Joins>
    void fold(Joins joins) {
        bool before = false;
        size_t n = 0;
        for (size_t i = 0; i < spans_.size(); ++i) {
            const Span s = spans_[i];
            if (n > 0 && joins(s.match, before)) {
                spans_[n - 1].begin = std::min(spans_[n - 1].begin, s.begin);
                spans_[n - 1].end = std::max(spans_[n - 1].end, s.end);
            } else {
                spans_[n++] = s;
            }
            before = s.match;
        }
        spans_.resize(n);
    }

    SplitBehavior behavior_;
    bool invert_;
    std::vector<Span> spans_;
};

template <class Test>
void split_chars(Pieces& pieces, SplitBehavior behavior, Test test) {
    std::vector<Piece> out;
    out.reserve(pieces.list.size() * 2);
    Splitter splitter(behavior, false);
    for (const Piece& piece : pieces.list) {
        const std::string_view s = pieces.view(piece);
        splitter.begin();
        const char *p = s.data(), *end = p + s.size(), *gap = p;
        while (p < end) {
            const char* start = p;
            if (!test(utf8_next(p))) continue;
            if (gap < start) splitter.add(static_cast<size_t>(gap - s.data()), static_cast<size_t>(start - s.data()), false);
            splitter.add(static_cast<size_t>(start - s.data()), static_cast<size_t>(p - s.data()), true);
            gap = p;
        }
        if (gap < end) splitter.add(static_cast<size_t>(gap - s.data()), s.size(), false);
        splitter.emit(piece, out);
    }
    pieces.list.swap(out);
}

void split_regex(Pieces& pieces, const Regex& regex, SplitBehavior behavior, bool invert) {
    std::vector<Piece> out;
    out.reserve(pieces.list.size() * 2 + pieces.text.size() / 6);
    Regex::Finder finder(regex);
    Splitter splitter(behavior, invert);
    const bool plain = behavior == SplitBehavior::isolated;
    for (const Piece& piece : pieces.list) {
        const std::string_view s = pieces.view(piece);
        finder.reset(s);
        splitter.begin();
        size_t begin, end, done = 0;
        const auto add = [&](size_t from, size_t to, bool match) {
            if (!plain) splitter.add(from, to, match);
            else if (to > from) out.push_back({piece.begin + from, piece.begin + to, piece.at_origin && from == 0});
        };
        while (finder.next(begin, end)) {
            if (done != begin) add(done, begin, false);
            add(begin, end, true);
            done = end;
        }
        if (done != s.size()) add(done, s.size(), false);
        if (!plain) splitter.emit(piece, out);
    }
    pieces.list.swap(out);
}

class Sequence : public PreTokenizer {
  public:
    std::vector<std::unique_ptr<PreTokenizer>> parts;
    void apply(Pieces& pieces) const override {
        for (const auto& part : parts) part->apply(pieces);
    }
    bool writes_alphabet() const override { return !parts.empty() && parts.back()->writes_alphabet(); }
    void keep_bytes_raw() override { parts.back()->keep_bytes_raw(); }
};

class SplitRegex : public PreTokenizer {
  public:
    SplitRegex(std::string_view pattern, SplitBehavior behavior, bool invert) : regex_(pattern), behavior_(behavior), invert_(invert) {}
    void apply(Pieces& pieces) const override { split_regex(pieces, regex_, behavior_, invert_); }

  private:
    Regex regex_;
    SplitBehavior behavior_;
    bool invert_;
};

class SplitText : public PreTokenizer {
  public:
    SplitText(std::string pattern, SplitBehavior behavior, bool invert) : pattern_(std::move(pattern)), behavior_(behavior), invert_(invert) {}
    void apply(Pieces& pieces) const override {
        std::vector<Piece> out;
        Splitter splitter(behavior_, invert_);
        for (const Piece& piece : pieces.list) {
            const std::string_view s = pieces.view(piece);
            splitter.begin();
            size_t done = 0;
            for (size_t at = s.find(pattern_); at != std::string_view::npos; at = s.find(pattern_, done)) {
                if (done != at) splitter.add(done, at, false);
                splitter.add(at, at + pattern_.size(), true);
                done = at + pattern_.size();
            }
            if (done != s.size()) splitter.add(done, s.size(), false);
            splitter.emit(piece, out);
        }
        pieces.list.swap(out);
    }

  private:
    std::string pattern_;
    SplitBehavior behavior_;
    bool invert_;
};

class CharDelimiter : public PreTokenizer {
  public:
    explicit CharDelimiter(char32_t c) : c_(c) {}
    void apply(Pieces& pieces) const override {
        split_chars(pieces, SplitBehavior::removed, [this](char32_t c) { return c == c_; });
    }

  private:
    char32_t c_;
};

class WhitespaceSplit : public PreTokenizer {
  public:
    void apply(Pieces& pieces) const override { split_chars(pieces, SplitBehavior::removed, is_white_space); }
};

// \w+|[^\w\s]+ of Rust's regex
class Whitespace : public PreTokenizer {
  public:
    void apply(Pieces& pieces) const override {
        std::vector<Piece> out;
        const auto kind = [](char32_t c) { return is_white_space(c) ? 0 : is_word(c) ? 1 : 2; };
        for (const Piece& piece : pieces.list) {
            const std::string_view s = pieces.view(piece);
            const char *p = s.data(), *end = p + s.size(), *start = p;
            int now = 0;
            const auto flush = [&](const char* to) {
                const auto from = static_cast<size_t>(start - s.data());
                if (now != 0 && to > start) out.push_back({piece.begin + from, piece.begin + static_cast<size_t>(to - s.data()), piece.at_origin && from == 0});
                start = to;
            };
            while (p < end) {
                const char* at = p;
                const int next = kind(utf8_next(p));
                if (next != now) flush(at);
                now = next;
            }
            flush(end);
        }
        pieces.list.swap(out);
    }
};

class BertPieces : public PreTokenizer {
  public:
    void apply(Pieces& pieces) const override {
        split_chars(pieces, SplitBehavior::removed, is_white_space);
        split_chars(pieces, SplitBehavior::isolated, is_punctuation);
    }
};

class Punctuation : public PreTokenizer {
  public:
    explicit Punctuation(SplitBehavior behavior) : behavior_(behavior) {}
    void apply(Pieces& pieces) const override { split_chars(pieces, behavior_, is_punctuation); }

  private:
    SplitBehavior behavior_;
};

class Digits : public PreTokenizer {
  public:
    explicit Digits(bool individual) : behavior_(individual ? SplitBehavior::isolated : SplitBehavior::contiguous) {}
    void apply(Pieces& pieces) const override { split_chars(pieces, behavior_, is_numeric); }

  private:
    SplitBehavior behavior_;
};

// A piece for each stretch of one script. What has none joins the stretch before it; before the first stretch it is dropped.
class UnicodeScripts : public PreTokenizer {
  public:
    UnicodeScripts() { script_of(0); }  // where there is no table, loading fails and not a call
    void apply(Pieces& pieces) const override {
        std::vector<Piece> out;
        for (const Piece& piece : pieces.list) {
            const std::string_view s = pieces.view(piece);
            const char *p = s.data(), *end = p + s.size(), *start = end;
            uint8_t now = 0;
            const auto flush = [&](const char* to) {
                const auto from = static_cast<size_t>(start - s.data());
                if (now != 0) out.push_back({piece.begin + from, piece.begin + static_cast<size_t>(to - s.data()), piece.at_origin && from == 0});
                start = to;
            };
            while (p < end) {
                const char* at = p;
                const uint8_t next = script_of(utf8_next(p));
                if (next == 0 || next == now) continue;
                flush(at);
                now = next;
            }
            flush(end);
        }
        pieces.list.swap(out);
    }
};

class FixedLength : public PreTokenizer {
  public:
    explicit FixedLength(size_t length) : length_(length) {}
    void apply(Pieces& pieces) const override {
        std::vector<Piece> out;
        for (const Piece& piece : pieces.list) {
            const std::string_view s = pieces.view(piece);
            size_t start = 0, chars = 0;
            for (size_t at = 0; at < s.size();) {
                at += utf8_length(static_cast<unsigned char>(s[at]));
                if (++chars % length_ == 0 || at >= s.size()) {
                    out.push_back({piece.begin + start, piece.begin + at, piece.at_origin && start == 0});
                    start = at;
                }
            }
        }
        pieces.list.swap(out);
    }

  private:
    size_t length_;
};

class ByteLevel : public PreTokenizer {
  public:
    // The pattern is GPT-2's (encoder.py of its release).
    ByteLevel(bool add_prefix_space, bool use_regex)
        : prefix_(add_prefix_space),
          regex_(use_regex ? std::make_unique<Regex>("'s|'t|'re|'ve|'m|'ll|'d| ?\\p{L}+| ?\\p{N}+| ?[^\\s\\p{L}\\p{N}]+|\\s+(?!\\S)|\\s+") : nullptr) {}

    void apply(Pieces& pieces) const override {
        if (prefix_) add_prefix(pieces);
        if (regex_) split_regex(pieces, *regex_, SplitBehavior::isolated, false);
        if (!raw_) to_alphabet(pieces);
    }
    bool writes_alphabet() const override { return true; }
    void keep_bytes_raw() override { raw_ = true; }

  private:
    static void add_prefix(Pieces& pieces) {
        std::string text;
        text.reserve(pieces.text.size() + pieces.list.size());
        for (Piece& piece : pieces.list) {
            const std::string_view s = pieces.view(piece);
            const size_t begin = text.size();
            if (s[0] != ' ') text += ' ';
            text.append(s);
            piece.begin = begin;
            piece.end = text.size();
        }
        pieces.text.swap(text);
    }
    static void to_alphabet(Pieces& pieces) {
        std::string text;
        text.reserve(pieces.text.size() * 2);
        for (Piece& piece : pieces.list) {
            const size_t begin = text.size();
            append_byte_level(text, pieces.view(piece));
            piece.begin = begin;
            piece.end = text.size();
        }
        pieces.text.swap(text);
    }
    bool prefix_, raw_ = false;
    std::unique_ptr<Regex> regex_;
};

class Metaspace : public PreTokenizer {
  public:
    enum class Prepend { first, never, always };
    Metaspace(std::string mark, Prepend prepend, bool split) : mark_(std::move(mark)), prepend_(prepend), split_(split) {
        const char* p = mark_.data();
        c_ = utf8_next(p);
    }

    void apply(Pieces& pieces) const override {
        std::string text;
        text.reserve(pieces.text.size() * 3 / 2);
        for (Piece& piece : pieces.list) {
            const std::string_view s = pieces.view(piece);
            const size_t begin = text.size();
            const bool marked = s[0] == ' ' || s.starts_with(mark_);
            if (!marked && (prepend_ == Prepend::always || (prepend_ == Prepend::first && piece.at_origin))) text += mark_;
            for (char c : s) {
                if (c == ' ') text += mark_;
                else text += c;
            }
            piece.begin = begin;
            piece.end = text.size();
        }
        pieces.text.swap(text);
        if (split_) split_chars(pieces, SplitBehavior::merged_with_next, [this](char32_t c) { return c == c_; });
    }

  private:
    std::string mark_;
    char32_t c_;
    Prepend prepend_;
    bool split_;
};

SplitBehavior behavior(const JsonView& v, const std::string& name) {
    if (name == "Removed") return SplitBehavior::removed;
    if (name == "Isolated") return SplitBehavior::isolated;
    if (name == "MergedWithPrevious") return SplitBehavior::merged_with_previous;
    if (name == "MergedWithNext") return SplitBehavior::merged_with_next;
    if (name == "Contiguous") return SplitBehavior::contiguous;
    v.fail("unknown behavior \"" + name + "\"", ErrorKind::unsupported);
}

char32_t one_char(const JsonView& v, const char* key) {
    const std::string s = v.text(key);
    char32_t c = 0;
    if (s.empty() || utf8_read(s, c) != s.size()) v.fail(std::string("\"") + key + "\" is \"" + s + "\", not one character");
    return c;
}

std::unique_ptr<PreTokenizer> make_metaspace(const JsonView& v) {
    one_char(v, "replacement");
    std::string scheme = v.text_or("prepend_scheme", "always");
    if (v.has("add_prefix_space") && !v.flag("add_prefix_space")) {
        if (v.has("prepend_scheme") && scheme != "never") v.fail("add_prefix_space is false, prepend_scheme is \"" + scheme + "\"");
        scheme = "never";
    }
    const auto prepend = scheme == "always" ? Metaspace::Prepend::always : scheme == "first" ? Metaspace::Prepend::first : Metaspace::Prepend::never;
    if (prepend == Metaspace::Prepend::never && scheme != "never") v.fail("unknown prepend_scheme \"" + scheme + "\"", ErrorKind::unsupported);
    return std::make_unique<Metaspace>(v.text("replacement"), prepend, v.flag_or("split", true));
}

}  // namespace

std::unique_ptr<PreTokenizer> make_split(std::string_view regex, SplitBehavior behavior, bool invert) {
    return std::make_unique<SplitRegex>(regex, behavior, invert);
}
std::unique_ptr<PreTokenizer> make_bert_pre_tokenizer() { return std::make_unique<BertPieces>(); }
std::unique_ptr<PreTokenizer> make_byte_level_pre_tokenizer(bool add_prefix_space, bool use_regex) {
    return std::make_unique<ByteLevel>(add_prefix_space, use_regex);
}
std::unique_ptr<PreTokenizer> make_pre_tokenizer_sequence(std::vector<std::unique_ptr<PreTokenizer>> parts) {
    auto sequence = std::make_unique<Sequence>();
    sequence->parts = std::move(parts);
    return sequence;
}

std::unique_ptr<PreTokenizer> make_pre_tokenizer(const Json& json, int depth) {
    const JsonView plain(json, "pre_tokenizer");
    const std::string type = plain.type();
    const JsonView v(json, "pre_tokenizer " + type);
    if (depth > kMaxComponentDepth) v.fail("nested deeper than 32", ErrorKind::limit);
    if (type == "Sequence") {
        auto sequence = std::make_unique<Sequence>();
        for (const Json& part : v.list("pretokenizers")) sequence->parts.push_back(make_pre_tokenizer(part, depth + 1));
        return sequence;
    }
    if (type == "ByteLevel") return std::make_unique<ByteLevel>(v.flag("add_prefix_space"), v.flag_or("use_regex", true));
    if (type == "Split") {
        const JsonView pattern(v.at("pattern"), v.where() + " pattern");
        const SplitBehavior how = behavior(v, v.text("behavior"));
        const bool invert = v.flag_or("invert", false);
        if (pattern.has("Regex")) return std::make_unique<SplitRegex>(pattern.text("Regex"), how, invert);
        const std::string text = pattern.text("String");
        if (text.empty()) return std::make_unique<SplitRegex>("", how, invert);
        return std::make_unique<SplitText>(text, how, invert);
    }
    if (type == "Whitespace") return std::make_unique<Whitespace>();
    if (type == "WhitespaceSplit") return std::make_unique<WhitespaceSplit>();
    if (type == "BertPreTokenizer") return std::make_unique<BertPieces>();
    if (type == "Metaspace") return make_metaspace(v);
    if (type == "Punctuation") return std::make_unique<Punctuation>(behavior(v, v.text_or("behavior", "Isolated")));
    if (type == "Digits") return std::make_unique<Digits>(v.flag("individual_digits"));
    if (type == "CharDelimiterSplit" || type == "Delimiter") return std::make_unique<CharDelimiter>(one_char(v, "delimiter"));
    if (type == "UnicodeScripts") return std::make_unique<UnicodeScripts>();
    if (type == "FixedLength") {
        const uint64_t length = v.has("length") ? v.count("length") : 5;
        if (length == 0) v.fail("\"length\" is 0");
        return std::make_unique<FixedLength>(length);
    }
    plain.fail("unknown type \"" + type + "\"", ErrorKind::unsupported);
}

}  // namespace orrery::text
