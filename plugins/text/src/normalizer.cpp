// The semantics are those of Hugging Face tokenizers 0.23 (tokenizers/src/normalizers/).
#include "normalizer.hpp"

#include <cstring>
#include <vector>

#include "byte_level.hpp"
#include "regex.hpp"
#include "unicode.hpp"

namespace orrery::text {
namespace {

bool is_ascii(std::string_view s) {
    for (char c : s)
        if (static_cast<unsigned char>(c) >= 0x80) return false;
    return true;
}

// Keeps the characters for which keep(c), writing map(c) for them.
template <class Keep, class Map>
void filter_map(NormalText& t, Keep keep, Map map) {
    std::string out;
    out.reserve(t.text.size());
    const char *p = t.text.data(), *end = p + t.text.size();
    bool first = true;
    for (; p < end; first = false) {
        const char32_t c = utf8_next(p);
        if (keep(c)) utf8_append(out, map(c));
        else if (first) t.at_origin = false;
    }
    t.text.swap(out);
}

class Sequence : public Normalizer {
  public:
    std::vector<std::unique_ptr<Normalizer>> parts;
    void apply(NormalText& t) const override {
        for (const auto& part : parts) part->apply(t);
    }
};

class UnicodeForm : public Normalizer {
  public:
    explicit UnicodeForm(NormalForm form) : form_(form) {}
    void apply(NormalText& t) const override {
        if (!is_ascii(t.text)) t.text = normalize(t.text, form_);
    }

  private:
    NormalForm form_;
};

void lower(NormalText& t) {
    if (is_ascii(t.text)) {
        for (char& c : t.text)
            if (c >= 'A' && c <= 'Z') c = static_cast<char>(c + 32);
        return;
    }
    std::string out;
    out.reserve(t.text.size());
    const char *p = t.text.data(), *end = p + t.text.size();
    while (p < end) append_lower(out, utf8_next(p));
    t.text.swap(out);
}

class Lowercase : public Normalizer {
  public:
    void apply(NormalText& t) const override { lower(t); }
};

class Strip : public Normalizer {
  public:
    Strip(bool left, bool right) : left_(left), right_(right) {}
    void apply(NormalText& t) const override {
        const char *begin = t.text.data(), *end = begin + t.text.size();
        if (left_) {
            const char* p = begin;
            while (p < end && is_white_space(utf8_next(p))) begin = p;
        }
        if (right_) {
            while (end > begin) {
                const char* p = end - 1;
                while ((static_cast<unsigned char>(*p) & 0xC0) == 0x80) --p;
                const char* q = p;
                if (!is_white_space(utf8_next(q))) break;
                end = p;
            }
        }
        if (begin > t.text.data()) t.at_origin = false;
        t.text = std::string(begin, end);
    }

  private:
    bool left_, right_;
};

class StripAccents : public Normalizer {
  public:
    void apply(NormalText& t) const override {
        filter_map(t, [](char32_t c) { return !is_mark(c); }, [](char32_t c) { return c; });
    }
};

class Bert : public Normalizer {
  public:
    Bert(bool clean, bool chinese, bool accents, bool lowercase) : clean_(clean), chinese_(chinese), accents_(accents), lower_(lowercase) {}
    void apply(NormalText& t) const override {
        if (clean_) {
            const auto keep = [](char32_t c) { return c == '\t' || c == '\n' || c == '\r' || !(c == 0 || c == kReplacement || is_other(c)); };
            filter_map(t, keep, [](char32_t c) { return is_white_space(c) ? U' ' : c; });
        }
        if (!is_ascii(t.text)) {
            if (chinese_) space_chinese(t);
            if (accents_) {
                t.text = normalize(t.text, NormalForm::nfd);
                filter_map(t, [](char32_t c) { return !is_nonspacing_mark(c); }, [](char32_t c) { return c; });
            }
        }
        if (lower_) lower(t);
    }

  private:
    static void space_chinese(NormalText& t) {
        std::string out;
        out.reserve(t.text.size() + 16);
        const char *p = t.text.data(), *end = p + t.text.size();
        while (p < end) {
            const char* start = p;
            const bool chinese = is_chinese(utf8_next(p));
            if (chinese) out += ' ';
            out.append(start, p);
            if (chinese) out += ' ';
        }
        t.text.swap(out);
    }
    bool clean_, chinese_, accents_, lower_;
};

class ReplaceText : public Normalizer {
  public:
    ReplaceText(std::string from, std::string to) : from_(std::move(from)), to_(std::move(to)) {}
    void apply(NormalText& t) const override {
        size_t at = t.text.find(from_);
        if (at == std::string::npos) return;
        if (at == 0) {
            const char* p = from_.data();
            utf8_next(p);
            if (p < from_.data() + from_.size() || to_.empty()) t.at_origin = false;
        }
        std::string out;
        out.reserve(t.text.size() + t.text.size() / 2);
        size_t copied = 0;
        for (; at != std::string::npos; at = t.text.find(from_, copied)) {
            out.append(t.text, copied, at - copied);
            out += to_;
            copied = at + from_.size();
        }
        out.append(t.text, copied);
        t.text.swap(out);
    }

  private:
    std::string from_, to_;
};

class ReplaceRegex : public Normalizer {
  public:
    ReplaceRegex(std::string_view pattern, std::string to) : regex_(pattern), to_(std::move(to)) {}
    void apply(NormalText& t) const override {
        if (t.text.empty()) return;
        Regex::Finder finder(regex_);
        finder.reset(t.text);
        std::string out;
        size_t copied = 0, begin, end;
        bool origin = t.at_origin;
        while (finder.next(begin, end)) {
            if (begin == 0 && end > 0) {
                const char* p = t.text.data();
                utf8_next(p);
                if (p < t.text.data() + end || to_.empty()) origin = false;
            }
            out.append(t.text, copied, begin - copied);
            out += to_;
            copied = end;
            if (out.size() > t.text.size() * 64 + (1u << 20)) throw TextError(ErrorKind::limit, "normalizer Replace: the text grows past 64 times its size");
        }
        out.append(t.text, copied);
        t.text.swap(out);
        t.at_origin = origin;
    }

  private:
    Regex regex_;
    std::string to_;
};

class Prepend : public Normalizer {
  public:
    explicit Prepend(std::string text) : prefix_(std::move(text)) {}
    void apply(NormalText& t) const override {
        if (!t.text.empty()) t.text.insert(0, prefix_);
    }

  private:
    std::string prefix_;
};

class Nmt : public Normalizer {
  public:
    void apply(NormalText& t) const override {
        const auto keep = [](char32_t c) {
            return !((c >= 1 && c <= 8) || c == 0xB || (c >= 0xE && c <= 0x1F) || c == 0x7F || c == 0x8F || c == 0x9F);
        };
        const auto map = [](char32_t c) {
            const bool space = c == 9 || c == 0xA || c == 0xC || c == 0xD || c == 0x1680 || (c >= 0x200B && c <= 0x200F) || c == 0x2028 || c == 0x2029 ||
                               c == 0x2581 || c == 0xFEFF || c == 0xFFFD;
            return space ? U' ' : c;
        };
        filter_map(t, keep, map);
    }
};

class Precompiled : public Normalizer {
  public:
    explicit Precompiled(Charsmap map) : map_(std::move(map)) {}
    // Whole grapheme clusters of up to 5 bytes are looked up first, then single characters; the shortest rule counts, even where it covers
    // only the start of what is looked up. So does the original.
    void apply(NormalText& t) const override {
        std::string out;
        out.reserve(t.text.size());
        std::string_view rest = t.text, replacement;
        size_t length;
        while (!rest.empty()) {
            const size_t n = rest.size() > 1 && static_cast<unsigned char>(rest[0]) < 0x80 && static_cast<unsigned char>(rest[1]) < 0x80 && rest[0] != '\r' ? 1 : grapheme_length(rest);
            const std::string_view cluster = rest.substr(0, n);
            rest.remove_prefix(n);
            if (n < 6 && map_.find(cluster, false, replacement, length)) {
                out.append(replacement);
                continue;
            }
            for (size_t i = 0; i < n;) {
                const std::string_view one = cluster.substr(i, utf8_length(static_cast<unsigned char>(cluster[i])));
                out.append(map_.find(one, false, replacement, length) ? replacement : one);
                i += one.size();
            }
        }
        if (!utf8_valid(out)) out = utf8_lossy(out);
        t.text.swap(out);
    }

  private:
    Charsmap map_;
};

class ByteLevel : public Normalizer {
  public:
    void apply(NormalText& t) const override {
        std::string out;
        out.reserve(t.text.size() * 2);
        append_byte_level(out, t.text);
        t.text.swap(out);
    }
};

}  // namespace

Charsmap::Charsmap(std::string_view blob, const std::string& where) {
    if (blob.empty()) return;
    uint32_t size = 0;
    if (blob.size() < 4) throw TextError(ErrorKind::invalid_data, where + ": the charsmap has " + std::to_string(blob.size()) + " bytes, its header alone needs 4");
    std::memcpy(&size, blob.data(), 4);
    if (size % 4 != 0 || size > blob.size() - 4)
        throw TextError(ErrorKind::invalid_data, where + ": the charsmap names a trie of " + std::to_string(size) + " bytes, the blob has " + std::to_string(blob.size()));
    units_.resize(size / 4);
    if (size > 0) std::memcpy(units_.data(), blob.data() + 4, size);
    replacements_.assign(blob.substr(4 + size));
    if (!replacements_.empty() && replacements_.back() != '\0') replacements_ += '\0';
}

bool Charsmap::find(std::string_view s, bool longest, std::string_view& replacement, size_t& length) const {
    if (units_.empty()) return false;
    const auto offset = [](uint32_t unit) { return (unit >> 10) << ((unit & (1u << 9)) >> 6); };
    uint32_t node = offset(units_[0]);
    bool found = false;
    for (size_t i = 0; i < s.size(); ++i) {
        const auto byte = static_cast<unsigned char>(s[i]);
        if (byte == 0) break;
        node ^= byte;
        if (node >= units_.size()) break;
        const uint32_t unit = units_[node];
        if ((unit & ((1u << 31) | 0xFF)) != byte) break;
        node ^= offset(unit);
        if (!(unit >> 8 & 1)) continue;
        if (node >= units_.size()) break;
        const uint32_t at = units_[node] & 0x7FFFFFFF;
        if (at >= replacements_.size()) throw TextError(ErrorKind::invalid_data, "charsmap: a rule points to byte " + std::to_string(at) + " of " + std::to_string(replacements_.size()));
        replacement = replacements_.c_str() + at;
        length = i + 1;
        found = true;
        if (!longest) break;
    }
    return found;
}

std::string decode_base64(std::string_view text, const std::string& where) {
    std::string out;
    uint32_t bits = 0;
    int have = 0;
    for (char c : text) {
        int v;
        if (c >= 'A' && c <= 'Z') v = c - 'A';
        else if (c >= 'a' && c <= 'z') v = c - 'a' + 26;
        else if (c >= '0' && c <= '9') v = c - '0' + 52;
        else if (c == '+') v = 62;
        else if (c == '/') v = 63;
        else if (c == '=') break;
        else throw TextError(ErrorKind::invalid_data, where + ": base64 has the byte " + std::to_string(static_cast<unsigned char>(c)));
        bits = bits << 6 | static_cast<uint32_t>(v);
        if ((have += 6) >= 8) {
            have -= 8;
            out += static_cast<char>(bits >> have & 0xFF);
        }
    }
    return out;
}

std::unique_ptr<Normalizer> make_bert_normalizer(bool clean, bool chinese, bool strip_accents, bool lowercase) {
    return std::make_unique<Bert>(clean, chinese, strip_accents, lowercase);
}

std::unique_ptr<Normalizer> make_replace_normalizer(std::string_view from, std::string_view to) {
    return std::make_unique<ReplaceText>(std::string(from), std::string(to));
}

namespace {

std::unique_ptr<Normalizer> make_replace(const JsonView& v) {
    const JsonView pattern(v.at("pattern"), v.where() + " pattern");
    const std::string to = v.text("content");
    if (pattern.has("Regex")) return std::make_unique<ReplaceRegex>(pattern.text("Regex"), to);
    const std::string from = pattern.text("String");
    if (from.empty()) return std::make_unique<ReplaceRegex>("", to);  // matches between all characters, as the original does
    return std::make_unique<ReplaceText>(from, to);
}

}  // namespace

std::unique_ptr<Normalizer> make_normalizer(const Json& json, int depth) {
    const JsonView plain(json, "normalizer");
    const std::string type = plain.type();
    const JsonView v(json, "normalizer " + type);
    if (depth > kMaxComponentDepth) v.fail("nested deeper than 32", ErrorKind::limit);
    if (type == "Sequence") {
        auto sequence = std::make_unique<Sequence>();
        for (const Json& part : v.list("normalizers")) sequence->parts.push_back(make_normalizer(part, depth + 1));
        return sequence;
    }
    if (type == "NFC") return std::make_unique<UnicodeForm>(NormalForm::nfc);
    if (type == "NFD") return std::make_unique<UnicodeForm>(NormalForm::nfd);
    if (type == "NFKC") return std::make_unique<UnicodeForm>(NormalForm::nfkc);
    if (type == "NFKD") return std::make_unique<UnicodeForm>(NormalForm::nfkd);
    if (type == "Lowercase") return std::make_unique<Lowercase>();
    if (type == "Strip") return std::make_unique<Strip>(v.flag("strip_left"), v.flag("strip_right"));
    if (type == "StripAccents") return std::make_unique<StripAccents>();
    if (type == "BertNormalizer" || type == "Bert") {
        const bool lowercase = v.flag("lowercase");
        return make_bert_normalizer(v.flag("clean_text"), v.flag("handle_chinese_chars"), v.flag_or("strip_accents", lowercase), lowercase);
    }
    if (type == "Replace") return make_replace(v);
    if (type == "Prepend") return std::make_unique<Prepend>(v.text("prepend"));
    if (type == "Nmt") return std::make_unique<Nmt>();
    if (type == "Precompiled") return std::make_unique<Precompiled>(Charsmap(decode_base64(v.text("precompiled_charsmap"), v.where()), v.where()));
    if (type == "ByteLevel") return std::make_unique<ByteLevel>();
    plain.fail("unknown type \"" + type + "\"", ErrorKind::unsupported);
}

}  // namespace orrery::text
