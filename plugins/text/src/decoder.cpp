// The semantics are those of Hugging Face tokenizers 0.23 (tokenizers/src/decoders/).
#include "decoder.hpp"

#include <algorithm>
#include <utility>

#include "byte_level.hpp"
#include "regex.hpp"
#include "unicode.hpp"

namespace orrery::text {
namespace {

using Chain = std::vector<std::unique_ptr<Stage>>;

// A stage that wants whole tokens.
class TokenStage : public Stage {
  public:
    void chunk(std::string_view s, bool end) final {
        if (end && held_.empty()) return token(s);
        held_.append(s);
        if (!end) return;
        const std::string whole = std::exchange(held_, {});
        token(whole);
    }
    void finish() override { next->finish(); }

  protected:
    virtual void token(std::string_view s) = 0;

  private:
    std::string held_;
};

void replace_all(std::string& s, std::string_view from, std::string_view to) {
    if (from.empty()) return;
    size_t at = s.find(from);
    if (at == std::string::npos) return;
    std::string out;
    size_t done = 0;
    for (; at != std::string::npos; at = s.find(from, done)) {
        out.append(s, done, at - done);
        out.append(to);
        done = at + from.size();
    }
    out.append(s, done);
    s.swap(out);
}

void clean_up(std::string& s) {
    static constexpr std::string_view rules[][2] = {{" .", "."},     {" ?", "?"},     {" !", "!"},          {" ,", ","},   {" ' ", "'"},  {" n't", "n't"},
                                                    {" 'm", "'m"}, {" do not", " don't"}, {" 's", "'s"}, {" 've", "'ve"}, {" 're", "'re"}};
    for (const auto& rule : rules) replace_all(s, rule[0], rule[1]);
}

class Collect : public Stage {
  public:
    void chunk(std::string_view s, bool) override { text.append(s); }
    void finish() override {}
    std::string text;
};

class Join : public Stage {
  public:
    void chunk(std::string_view s, bool end) override {
        if (begun_ && at_start_) next->chunk(" ", false);
        next->chunk(s, end);
        begun_ = true;
        at_start_ = end;
    }
    void finish() override {
        begun_ = false;
        at_start_ = true;
        next->finish();
    }

  private:
    bool begun_ = false, at_start_ = true;
};

// Everything becomes one token.
class Fuse : public Stage {
  public:
    void chunk(std::string_view s, bool) override { next->chunk(s, false); }
    void finish() override {
        next->chunk({}, true);
        next->finish();
    }
};

class ByteLevel : public TokenStage {
  public:
    void token(std::string_view s) override {
        if (byte_level_bytes(s, bytes_)) tail_ += bytes_;
        else tail_.append(s);
        out_.clear();
        utf8_drain(tail_, out_);
        if (!out_.empty()) next->chunk(out_, false);
    }
    void finish() override {
        if (!tail_.empty()) next->chunk("\xEF\xBF\xBD", false);
        tail_.clear();
        next->chunk({}, true);
        next->finish();
    }

  private:
    std::string bytes_, tail_, out_;
};

class ByteFallback : public TokenStage {
  public:
    void token(std::string_view s) override {
        const int byte = value(s);
        if (byte >= 0) {
            run_ += static_cast<char>(byte);
            return;
        }
        flush();
        next->chunk(s, true);
    }
    void finish() override {
        flush();
        next->finish();
    }

  private:
    static int value(std::string_view s) {
        if (s.size() != 6 || !s.starts_with("<0x") || s[5] != '>') return -1;
        const auto digit = [](char c) { return c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1; };
        // Rust's from_str_radix takes a leading '+'
        if (s[3] == '+') return digit(s[4]);
        return digit(s[3]) < 0 || digit(s[4]) < 0 ? -1 : digit(s[3]) * 16 + digit(s[4]);
    }
    // A run of bytes that is no UTF-8 as a whole gives one U+FFFD a byte.
    void flush() {
        if (run_.empty()) return;
        const std::string run = std::exchange(run_, {});
        if (utf8_valid(run)) return next->chunk(run, true);
        for (size_t i = 0; i < run.size(); ++i) next->chunk("\xEF\xBF\xBD", true);
    }
    std::string run_;
};

class WordPiece : public TokenStage {
  public:
    WordPiece(std::string prefix, bool clean) : prefix_(std::move(prefix)), clean_(clean) {}
    void token(std::string_view s) override {
        std::string out;
        if (first_) out = s;
        else if (s.starts_with(prefix_)) out = s.substr(prefix_.size());
        else out = " " + std::string(s);
        first_ = false;
        if (clean_) clean_up(out);
        next->chunk(out, true);
    }
    void finish() override {
        first_ = true;
        next->finish();
    }

  private:
    std::string prefix_;
    bool clean_, first_ = true;
};

class Metaspace : public TokenStage {
  public:
    Metaspace(std::string mark, bool prepended) : mark_(std::move(mark)), prepended_(prepended) {}
    void token(std::string_view s) override {
        std::string out(s);
        replace_all(out, mark_, first_ && prepended_ ? "" : " ");
        first_ = false;
        next->chunk(out, true);
    }
    void finish() override {
        first_ = true;
        next->finish();
    }

  private:
    std::string mark_;
    bool prepended_, first_ = true;
};

// Removes up to `start` characters `content` from the front of each token and up to `stop` from its end.
class Strip : public Stage {
  public:
    Strip(std::string content, uint64_t start, uint64_t stop) : content_(std::move(content)), start_(start), stop_(stop) {}
    void chunk(std::string_view s, bool end) override {
        held_.append(s);
        while (cut_ < start_ && held_.size() >= content_.size() && held_.starts_with(content_)) {
            held_.erase(0, content_.size());
            ++cut_;
        }
        if (cut_ < start_ && !held_.empty() && (held_.size() >= content_.size() || end)) cut_ = start_;  // something else came: no more
        if (!end) {
            if (cut_ < start_) return;
            // Keep back what may yet be the end.
            size_t keep = held_.size();
            for (uint64_t i = 0; i < stop_ && keep >= content_.size() && std::string_view(held_).substr(0, keep).ends_with(content_); ++i) keep -= content_.size();
            next->chunk(std::string_view(held_).substr(0, keep), false);
            held_.erase(0, keep);
            return;
        }
        for (uint64_t i = 0; i < stop_ && held_.ends_with(content_); ++i) held_.resize(held_.size() - content_.size());
        next->chunk(held_, true);
        held_.clear();
        cut_ = 0;
    }
    void finish() override { next->finish(); }

  private:
    std::string content_, held_;
    uint64_t start_, stop_, cut_ = 0;
};

class Replace : public Stage {
  public:
    Replace(std::string from, std::string to) : from_(std::move(from)), to_(std::move(to)) {}
    void chunk(std::string_view s, bool end) override {
        held_.append(s);
        std::string out;
        size_t done = 0;
        for (size_t at = held_.find(from_); at != std::string::npos; at = held_.find(from_, done)) {
            out.append(held_, done, at - done);
            out += to_;
            done = at + from_.size();
        }
        size_t keep = held_.size();
        if (!end) {  // the tail may be the start of a match
            size_t n = std::min(from_.size() - 1, held_.size() - done);
            while (n > 0 && held_.compare(held_.size() - n, n, from_, 0, n) != 0) --n;
            keep -= n;
        }
        out.append(held_, done, keep - done);
        held_.erase(0, keep);
        next->chunk(out, end);
    }
    void finish() override { next->finish(); }

  private:
    std::string from_, to_, held_;
};

class ReplaceRegex : public TokenStage {
  public:
    ReplaceRegex(const Regex& regex, std::string to) : finder_(regex), to_(std::move(to)) {}
    void token(std::string_view s) override {
        finder_.reset(s);
        std::string out;
        size_t done = 0, begin, end;
        while (!s.empty() && finder_.next(begin, end)) {
            out.append(s.substr(done, begin - done));
            out += to_;
            done = end;
        }
        out.append(s.substr(done));
        next->chunk(out, true);
    }

  private:
    Regex::Finder finder_;
    std::string to_;
};

class Bpe : public TokenStage {
  public:
    explicit Bpe(std::string suffix) : suffix_(std::move(suffix)) {}
    void token(std::string_view s) override {
        if (have_) give(" ");
        held_ = s;
        have_ = true;
    }
    void finish() override {
        if (have_) give("");
        have_ = false;
        next->finish();
    }

  private:
    void give(std::string_view to) {
        replace_all(held_, suffix_, to);
        next->chunk(held_, true);
    }
    std::string suffix_, held_;
    bool have_ = false;
};

class Ctc : public TokenStage {
  public:
    Ctc(std::string pad, std::string delimiter, bool clean) : pad_(std::move(pad)), delimiter_(std::move(delimiter)), clean_(clean) {}
    void token(std::string_view s) override {
        if (have_ && last_ == s) return;
        have_ = true;
        last_ = s;
        std::string out(s);
        replace_all(out, pad_, "");
        if (clean_) {
            clean_up(out);
            replace_all(out, delimiter_, " ");
        }
        if (!out.empty()) next->chunk(out, true);
    }
    void finish() override {
        have_ = false;
        next->finish();
    }

  private:
    std::string pad_, delimiter_, last_;
    bool clean_, have_ = false;
};

// A decoder of one stage, made by a function.
template <class Make>
class Simple : public Decoder {
  public:
    explicit Simple(Make make) : make_(std::move(make)) {}
    void add_stages(Chain& chain) const override { chain.push_back(make_()); }

  private:
    Make make_;
};

template <class Make>
std::unique_ptr<Decoder> simple(Make make) {
    return std::make_unique<Simple<Make>>(std::move(make));
}

class Sequence : public Decoder {
  public:
    std::vector<std::unique_ptr<Decoder>> parts;
    void add_stages(Chain& chain) const override {
        for (const auto& part : parts) part->add_stages(chain);
    }
};

class RegexDecoder : public Decoder {
  public:
    RegexDecoder(std::string_view pattern, std::string to) : regex_(pattern), to_(std::move(to)) {}
    void add_stages(Chain& chain) const override { chain.push_back(std::make_unique<ReplaceRegex>(regex_, to_)); }

  private:
    Regex regex_;
    std::string to_;
};

std::unique_ptr<Decoder> make_replace(const JsonView& v) {
    const JsonView pattern(v.at("pattern"), v.where() + " pattern");
    const std::string to = v.text("content");
    if (pattern.has("Regex")) return std::make_unique<RegexDecoder>(pattern.text("Regex"), to);
    const std::string from = pattern.text("String");
    if (from.empty()) return std::make_unique<RegexDecoder>("", to);
    return simple([from, to] { return std::make_unique<Replace>(from, to); });
}

std::unique_ptr<Decoder> make_strip(const JsonView& v) {
    const std::string content = v.text("content");
    char32_t c = 0;
    if (content.empty() || utf8_read(content, c) != content.size()) v.fail("\"content\" is \"" + content + "\", not one character");
    const uint64_t start = v.count("start"), stop = v.count("stop");
    return simple([content, start, stop] { return std::make_unique<Strip>(content, start, stop); });
}

}  // namespace

std::unique_ptr<Decoder> make_join_decoder() {
    return simple([] { return std::make_unique<Join>(); });
}

std::unique_ptr<Decoder> make_decoder(const Json& json, int depth) {
    const JsonView plain(json, "decoder");
    const std::string type = plain.type();
    const JsonView v(json, "decoder " + type);
    if (depth > kMaxComponentDepth) v.fail("nested deeper than 32", ErrorKind::limit);
    if (type == "Sequence") {
        auto sequence = std::make_unique<Sequence>();
        for (const Json& part : v.list("decoders")) sequence->parts.push_back(make_decoder(part, depth + 1));
        return sequence;
    }
    if (type == "ByteLevel") return simple([] { return std::make_unique<ByteLevel>(); });
    if (type == "ByteFallback") return simple([] { return std::make_unique<ByteFallback>(); });
    if (type == "Fuse") return simple([] { return std::make_unique<Fuse>(); });
    if (type == "Replace") return make_replace(v);
    if (type == "Strip") return make_strip(v);
    if (type == "WordPiece") return simple([prefix = v.text("prefix"), clean = v.flag("cleanup")] { return std::make_unique<WordPiece>(prefix, clean); });
    if (type == "Metaspace") {
        const std::string mark = v.text("replacement");
        const bool prepended = v.text_or("prepend_scheme", "always") != "never" && v.flag_or("add_prefix_space", true);
        return simple([mark, prepended] { return std::make_unique<Metaspace>(mark, prepended); });
    }
    if (type == "BPEDecoder") return simple([suffix = v.text("suffix")] { return std::make_unique<Bpe>(suffix); });
    if (type == "CTC")
        return simple([pad = v.text("pad_token"), delimiter = v.text("word_delimiter_token"), clean = v.flag("cleanup")] { return std::make_unique<Ctc>(pad, delimiter, clean); });
    plain.fail("unknown type \"" + type + "\"", ErrorKind::unsupported);
}

DecodeChain::DecodeChain(const Decoder& decoder) {
    decoder.add_stages(stages_);
    auto collect = std::make_unique<Collect>();
    text_ = &collect->text;
    stages_.push_back(std::move(collect));
    for (size_t i = 0; i + 1 < stages_.size(); ++i) stages_[i]->next = stages_[i + 1].get();
    head_ = stages_.front().get();
}

}  // namespace orrery::text
