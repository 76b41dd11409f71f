// Oniguruma's Ruby syntax to PCRE2's. Syntax: Oniguruma's doc/RE; PCRE2's: pcre2pattern(3).
#include <algorithm>
#include <cstdio>
#include <cstring>
#include <vector>

#include "regex.hpp"
#include "text.hpp"
#include "unicode.hpp"
#include "unicode_delta.hpp"

namespace orrery::text {
namespace {

constexpr const char* kSpace = "\\x09-\\x0d\\x20\\x{85}\\x{a0}\\x{1680}\\x{2000}-\\x{200a}\\x{2028}\\x{2029}\\x{202f}\\x{205f}\\x{3000}";
constexpr int kMaxNesting = 100;

std::string hex_range(char32_t first, char32_t last) {
    char text[48];
    std::snprintf(text, sizeof text, first == last ? "\\x{%x}" : "\\x{%x}-\\x{%x}", static_cast<unsigned>(first), static_cast<unsigned>(last));
    return text;
}

// Members of \p{name} beyond PCRE2's tables. name: a category such as Lu, or its first letter alone.
std::string newer_members(std::string_view name) {
    std::string out;
    for (const auto& category : kRegexCategories)
        if (name == std::string_view(category.name).substr(0, name.size()))
            for (int i = 0; i < category.count; ++i) out += hex_range(category.ranges[i].first, category.ranges[i].last);
    return out;
}

std::string category_items(std::string_view name) { return "\\p{" + std::string(name) + "}" + newer_members(name); }

std::string word_items() {
    std::string out = category_items("L") + category_items("M") + category_items("Nd") + category_items("Nl") + category_items("Pc");
    for (const auto& r : kRegexWord) out += hex_range(r.first, r.last);
    return out;
}

// The names that checkpoints use; others go to PCRE2 as they are.
std::string property_items(std::string name) {
    std::string plain;
    for (char c : name)
        if (c != '_' && c != ' ' && c != '-') plain += ascii_lower(c);
    struct Alias {
        const char *from, *to;
    };
    static constexpr Alias aliases[] = {{"letter", "L"},   {"mark", "M"},          {"number", "N"},          {"punctuation", "P"}, {"symbol", "S"},
                                        {"separator", "Z"}, {"other", "C"},         {"decimalnumber", "Nd"},  {"digit", "Nd"},      {"uppercaseletter", "Lu"},
                                        {"lowercaseletter", "Ll"}, {"titlecaseletter", "Lt"}, {"modifierletter", "Lm"}, {"otherletter", "Lo"}};
    for (const auto& alias : aliases)
        if (plain == alias.from) return category_items(alias.to);
    if (plain == "space" || plain == "whitespace") return kSpace;
    if (plain == "word") return word_items();
    if (plain == "alnum") return category_items("L") + category_items("Nl") + category_items("Nd") + category_items("M");
    if (plain == "alpha" || plain == "alphabetic") return category_items("L") + category_items("Nl") + category_items("M");
    if (plain == "upper") return category_items("Lu");
    if (plain == "lower") return category_items("Ll");
    if (plain == "punct") return category_items("P") + "$+<=>^`|~";
    if (plain == "any") return "\\x{0}-\\x{10ffff}";
    if (plain.size() <= 2 && !plain.empty() && std::strchr("lmnpszc", plain[0])) {
        plain[0] = ascii_upper(plain[0]);
        return category_items(plain);
    }
    return "\\p{" + name + "}";
}

// A character class while it is read: items for between brackets, plus whole sub-expressions that brackets cannot hold.
struct Class {
    std::string items;
    std::vector<std::string> parts;  // each matches exactly one character

    std::string expression(bool negated) const {
        if (parts.empty()) {
            if (items.empty()) return negated ? "[\\x{0}-\\x{10ffff}]" : "(?!)";
            return (negated ? "[^" : "[") + items + "]";
        }
        std::string any = items.empty() ? "" : "[" + items + "]";
        for (const auto& part : parts) any += (any.empty() ? "" : "|") + part;
        return negated ? "(?:(?!" + any + ")[\\x{0}-\\x{10ffff}])" : "(?:" + any + ")";
    }
};

class Translator {
  public:
    explicit Translator(std::string_view pattern) : s_(pattern) {}

    std::string run() {
        while (at_ < s_.size()) step();
        return std::move(out_);
    }

  private:
    [[noreturn]] void fail(const std::string& why) const {
        throw TextError(ErrorKind::unsupported, "regular expression \"" + std::string(s_) + "\": " + why + " at byte " + std::to_string(at_));
    }
    bool starts(std::string_view what) const { return s_.substr(at_, what.size()) == what; }
    char peek(size_t ahead = 0) const { return at_ + ahead < s_.size() ? s_[at_ + ahead] : '\0'; }

    void step() {
        const char c = s_[at_];
        if (c == '\\') return escape();
        if (c == '[') {
            ++at_;
            out_ += read_class(0);
            return;
        }
        if (c == '(' && peek(1) == '?') return group();
        if (c == '{' && quantifier()) return;
        out_ += c;
        ++at_;
    }

    // {n,m} with Oniguruma's open lower bound; a '+' after it repeats rather than forbids to give back.
    bool quantifier() {
        const size_t close = s_.find('}', at_);
        if (close == std::string_view::npos) return false;
        const std::string_view body = s_.substr(at_ + 1, close - at_ - 1);
        if (body.empty() || body.find_first_not_of("0123456789,") != std::string_view::npos || body == "," || std::count(body.begin(), body.end(), ',') > 1) return false;
        out_ += '{';
        if (body[0] == ',') out_ += '0';
        out_.append(body);
        out_ += '}';
        at_ = close + 1;
        if (peek() == '+') fail("a repeated {n,m}+ is not supported");
        return true;
    }

    void group() {
        if (starts("(?#")) {
            const size_t close = s_.find(')', at_);
            at_ = close == std::string_view::npos ? s_.size() : close + 1;
            return;
        }
        if (starts("(?~")) fail("an absent group is not supported");
        size_t i = at_ + 2;
        while (i < s_.size() && std::strchr("imxadlupWDSPy-", s_[i]) && s_[i] != '\0') ++i;
        if (i == at_ + 2 || i >= s_.size() || (s_[i] != ')' && s_[i] != ':')) {  // not options
            out_ += "(?";
            at_ += 2;
            return;
        }
        out_ += "(?";
        for (size_t k = at_ + 2; k < i; ++k) {
            if (s_[k] == 'x') fail("the option x is not supported");
            if (s_[k] == 'm') out_ += 's';
            else if (s_[k] == 'i' || s_[k] == '-') out_ += s_[k];
            else fail(std::string("the option ") + s_[k] + " is not supported");
        }
        out_ += s_[i];
        at_ = i + 1;
    }

    // Reads a \p{..} or \P{..} whose backslash is at at_; gives its items and whether it is negated.
    std::string property(bool& negated) {
        negated = peek(1) == 'P';
        std::string name;
        if (peek(2) != '{') {
            name = peek(2);
            at_ += 3;
        } else {
            const size_t close = s_.find('}', at_);
            if (close == std::string_view::npos) fail("\\p{ without }");
            name = s_.substr(at_ + 3, close - at_ - 3);
            at_ = close + 1;
        }
        if (!name.empty() && name[0] == '^') {
            negated = !negated;
            name.erase(0, 1);
        }
        if (name.empty() || name.find_first_of("\\{}[]") != std::string::npos) fail("\\p with a bad name");
        return property_items(name);
    }

    // A \x, \u, \t, … that stands for one character; appends it in PCRE2's spelling. False: some other escape.
    bool character(std::string& out) {
        const char c = peek(1);
        if (c == 'u') {
            char text[16];
            if (at_ + 6 > s_.size()) fail("\\u needs four digits");
            std::snprintf(text, sizeof text, "\\x{%.4s}", std::string(s_.substr(at_ + 2, 4)).c_str());
            out += text;
            at_ += 6;
        } else if (c == 'v') {
            out += "\\x0b";
            at_ += 2;
        } else if (c == 'x' && peek(2) == '{') {
            const size_t close = s_.find('}', at_);
            if (close == std::string_view::npos) fail("\\x{ without }");
            out.append(s_.substr(at_, close + 1 - at_));
            at_ = close + 1;
        } else if (c == 'x' || (c >= '0' && c <= '7' && c == '0')) {
            size_t n = 2;
            while (n < 4 && std::isxdigit(static_cast<unsigned char>(peek(n)))) ++n;
            out.append(s_.substr(at_, n));
            at_ += n;
        } else if (c == 't' || c == 'n' || c == 'r' || c == 'f' || c == 'a' || c == 'e') {
            out.append(s_.substr(at_, 2));
            at_ += 2;
        } else {
            return false;
        }
        return true;
    }

    // The items of \s \d \w \h; negated for the capitals. Empty: not one of them.
    static std::string shorthand(char c, bool& negated) {
        negated = ascii_is_upper(c);
        switch (ascii_lower(c)) {
            case 's': return kSpace;
            case 'd': return category_items("Nd");
            case 'w': return word_items();
            case 'h': return "0-9a-fA-F";
            default: return {};
        }
    }

    void escape() {
        const char c = peek(1);
        if (c == '\0') fail("a lone backslash");
        bool negated;
        if (c == 'p' || c == 'P') {
            const std::string items = property(negated);
            out_ += (negated ? "[^" : "[") + items + "]";
            return;
        }
        if (character(out_)) return;
        const std::string items = shorthand(c, negated);
        if (!items.empty()) {
            out_ += (negated ? "[^" : "[") + items + "]";
            at_ += 2;
            return;
        }
        if (c == 'b' || c == 'B') {
            const std::string w = "[" + word_items() + "]";
            out_ += c == 'b' ? "(?:(?<=" + w + ")(?!" + w + ")|(?<!" + w + ")(?=" + w + "))" : "(?:(?<=" + w + ")(?=" + w + ")|(?<!" + w + ")(?!" + w + "))";
            at_ += 2;
            return;
        }
        out_.append(s_.substr(at_, 2));
        at_ += 2;
        while (at_ < s_.size() && (static_cast<unsigned char>(s_[at_]) & 0xC0) == 0x80) out_ += s_[at_++];
    }

    // From after '[' to after its ']'.
    std::string read_class(int depth) {
        if (depth > kMaxNesting) fail("classes nested deeper than 100");
        const bool negated = peek() == '^';
        if (negated) ++at_;
        Class now;
        std::vector<std::string> conditions;  // the sides of && so far
        bool first = true;
        for (;; first = false) {
            if (at_ >= s_.size()) fail("[ without ]");
            const char c = s_[at_];
            if (c == ']' && !first) break;
            if (starts("&&")) {
                conditions.push_back(now.expression(false));
                now = {};
                at_ += 2;
                continue;
            }
            if (starts("[:")) {
                const size_t close = s_.find(":]", at_ + 2);
                if (close != std::string_view::npos && posix(s_.substr(at_ + 2, close - at_ - 2), now)) {
                    at_ = close + 2;
                    continue;
                }
            }
            if (c == '[') {
                ++at_;
                now.parts.push_back(read_class(depth + 1));
                continue;
            }
            item(now);
        }
        ++at_;
        if (conditions.empty()) return now.expression(negated);
        std::string all;
        for (const auto& condition : conditions) all += "(?=" + condition + ")";
        all += now.expression(false);
        return negated ? "(?:(?!" + all + ")[\\x{0}-\\x{10ffff}])" : "(?:" + all + ")";
    }

    static bool posix(std::string_view name, Class& into) {
        const bool negated = !name.empty() && name[0] == '^';
        if (negated) name.remove_prefix(1);
        static constexpr std::string_view known[] = {"alnum", "alpha", "digit", "lower", "punct", "space", "upper", "word"};
        std::string items;
        if (name == "xdigit") items = "0-9a-fA-F";
        else if (name == "cntrl") items = "\\p{Cc}";
        else if (name == "blank") items = "\\x09\\x{20}\\x{a0}\\x{1680}\\x{2000}-\\x{200a}\\x{202f}\\x{205f}\\x{3000}";
        else if (name == "ascii") items = "\\x00-\\x7f";
        else if (std::find(std::begin(known), std::end(known), name) != std::end(known)) items = property_items(std::string(name));
        else return false;
        if (negated) into.parts.push_back("[^" + items + "]");
        else into.items += items;
        return true;
    }

    void item(Class& now) {
        const char c = s_[at_];
        if (c != '\\') {
            if (c == '[' || c == ']') now.items += '\\';
            now.items += c;
            ++at_;
            return;
        }
        const char e = peek(1);
        if (e == '\0') fail("a lone backslash");
        bool negated;
        if (e == 'p' || e == 'P') {
            const std::string items = property(negated);
            if (negated) now.parts.push_back("[^" + items + "]");
            else now.items += items;
            return;
        }
        if (character(now.items)) return;
        const std::string items = shorthand(e, negated);
        if (!items.empty()) {
            if (negated) now.parts.push_back("[^" + items + "]");
            else now.items += items;
            at_ += 2;
            return;
        }
        if (e == 'b') {
            now.items += "\\x08";
            at_ += 2;
            return;
        }
        if (ascii_is_alnum(e)) {
            now.items += e;  // an unknown escape stands for its letter
        } else {
            now.items += '\\';
            now.items += e;
        }
        at_ += 2;
    }

    std::string_view s_;
    std::string out_;
    size_t at_ = 0;
};

}  // namespace

std::string translate_regex(std::string_view pattern) { return Translator(pattern).run(); }

}  // namespace orrery::text
