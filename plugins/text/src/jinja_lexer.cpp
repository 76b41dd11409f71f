// Cuts a template into tokens with trim_blocks and lstrip_blocks on, as Jinja2 3.1 does (lexer.py).
#include <charconv>
#include <cmath>

#include "jinja_ast.hpp"
#include "unicode.hpp"

namespace orrery::text::jinja {

void fail(const std::string& why, ErrorKind kind) { throw TextError(kind, why); }

namespace {

bool is_space(char c) { return c == ' ' || (c >= '\t' && c <= '\r'); }
bool is_digit(char c) { return c >= '0' && c <= '9'; }
bool is_name_char(char c) { return is_digit(c) || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_' || static_cast<unsigned char>(c) >= 0x80; }

class Lexer {
  public:
    explicit Lexer(std::string_view source) {
        // Line ends become \n, and one at the very end goes away.
        source_.reserve(source.size());
        for (size_t i = 0; i < source.size(); ++i) {
            if (source[i] == '\r') {
                source_ += '\n';
                if (i + 1 < source.size() && source[i + 1] == '\n') ++i;
            } else {
                source_ += source[i];
            }
        }
        if (source_.ends_with('\n')) source_.pop_back();
    }

    std::vector<Token> run() {
        while (at_ < source_.size()) data();
        push(Token::Kind::end);
        return std::move(tokens_);
    }

  private:
    [[noreturn]] void error(const std::string& why) const { fail("chat template, line " + std::to_string(line_) + ": " + why); }

    void push(Token::Kind kind, std::string text = {}) {
        Token t{kind, std::move(text)};
        t.line = line_;
        tokens_.push_back(std::move(t));
    }
    bool starts(std::string_view what) const { return source_.compare(at_, what.size(), what) == 0; }
    void advance(size_t n) {
        for (size_t i = 0; i < n; ++i) line_ += source_[at_ + i] == '\n';
        at_ += n;
    }

    void skip_space() {
        size_t n = 0;
        while (at_ + n < source_.size() && is_space(source_[at_ + n])) ++n;
        advance(n);
    }

    // Plain text up to the next tag, and then the tag.
    void data() {
        size_t tag = at_;
        for (;; ++tag) {
            tag = source_.find('{', tag);
            if (tag == std::string::npos || tag + 1 >= source_.size()) {
                tag = source_.size();
                break;
            }
            const char c = source_[tag + 1];
            if (c == '{' || c == '%' || c == '#') break;
        }
        std::string text = source_.substr(at_, tag - at_);
        if (tag == source_.size()) {
            if (!text.empty()) push(Token::Kind::data, std::move(text));
            at_ = tag;
            return;
        }
        const char kind = source_[tag + 1], sign = tag + 2 < source_.size() ? source_[tag + 2] : '\0';
        if (sign == '-') {
            while (!text.empty() && is_space(text.back())) text.pop_back();
        } else if (sign != '+' && kind != '{') {  // lstrip_blocks
            const size_t line_start = text.rfind('\n') + 1;
            if ((line_start > 0 || line_starting_) && text.find_first_not_of(" \t", line_start) == std::string::npos) text.resize(line_start);
        }
        if (!text.empty()) push(Token::Kind::data, std::move(text));
        advance(tag + 2 - at_);
        if (sign == '-' || sign == '+') advance(1);
        line_starting_ = false;
        if (kind == '#') comment();
        else if (kind == '{') code(Token::Kind::begin_variable, Token::Kind::end_variable, "}}");
        else if (!raw()) code(Token::Kind::begin_block, Token::Kind::end_block, "%}");
    }

    // Steps over the end of a block or comment, whose sign stands at at_ if it has one.
    void close(std::string_view end, bool trim) {
        const char sign = source_[at_];
        const size_t before = at_;
        advance(end.size() + (sign == '-' || sign == '+' ? 1 : 0));
        if (sign == '-') skip_space();
        else if (sign != '+' && trim && at_ < source_.size() && source_[at_] == '\n') advance(1);
        line_starting_ = at_ > before && source_[at_ - 1] == '\n';
    }

    void comment() {
        const size_t end = source_.find("#}", at_);
        if (end == std::string::npos) error("a comment without #}");
        size_t to = end;
        if (to > at_ && (source_[to - 1] == '-' || source_[to - 1] == '+')) --to;
        advance(to - at_);
        close("#}", true);
    }

    // {% raw %} … {% endraw %}, with at_ after "{%" and its sign.
    bool raw() {
        size_t p = at_;
        while (p < source_.size() && is_space(source_[p])) ++p;
        if (source_.compare(p, 3, "raw") != 0) return false;
        p += 3;
        while (p < source_.size() && is_space(source_[p])) ++p;
        size_t sign = p < source_.size() && source_[p] == '-' ? 1 : 0;
        if (source_.compare(p + sign, 2, "%}") != 0) return false;
        advance(p - at_);
        close("%}", false);
        for (size_t from = at_;; ++from) {
            from = source_.find("{%", from);
            if (from == std::string::npos) error("raw without endraw");
            size_t q = from + 2;
            const char open = q < source_.size() ? source_[q] : '\0';
            if (open == '-' || open == '+') ++q;
            while (q < source_.size() && is_space(source_[q])) ++q;
            if (source_.compare(q, 6, "endraw") != 0) continue;
            q += 6;
            while (q < source_.size() && is_space(source_[q])) ++q;
            const size_t close_sign = q < source_.size() && (source_[q] == '-' || source_[q] == '+') ? 1 : 0;
            if (source_.compare(q + close_sign, 2, "%}") != 0) continue;
            std::string text = source_.substr(at_, from - at_);
            if (open == '-') {
                while (!text.empty() && is_space(text.back())) text.pop_back();
            } else if (open != '+') {
                const size_t line_start = text.rfind('\n') + 1;
                if (line_start > 0 && text.find_first_not_of(" \t", line_start) == std::string::npos) text.resize(line_start);
            }
            if (!text.empty()) push(Token::Kind::data, std::move(text));
            advance(q - at_);
            close("%}", true);
            return true;
        }
    }

    void code(Token::Kind begin, Token::Kind end, std::string_view mark) {
        push(begin);
        std::string open;  // brackets
        for (;;) {
            skip_space();
            if (at_ >= source_.size()) error(std::string("the template ends inside a tag, without ") + std::string(mark));
            if (open.empty()) {
                const bool sign = source_[at_] == '-' || (source_[at_] == '+' && mark == "%}");
                if (starts(mark) || (sign && source_.compare(at_ + 1, mark.size(), mark) == 0)) {
                    push(end);
                    if (mark == "%}") return close(mark, true);
                    const bool strip = source_[at_] == '-';
                    advance(mark.size() + (strip ? 1 : 0));
                    const size_t before = at_;
                    if (strip) skip_space();
                    line_starting_ = at_ > before && source_[at_ - 1] == '\n';
                    return;
                }
            }
            token(open);
        }
    }

    void token(std::string& open) {
        const char c = source_[at_];
        if (c == '"' || c == '\'') return string(c);
        if (is_digit(c)) return number();
        if (is_name_char(c)) {
            size_t n = 1;
            while (at_ + n < source_.size() && is_name_char(source_[at_ + n])) ++n;
            push(Token::Kind::name, source_.substr(at_, n));
            return advance(n);
        }
        for (const char* op : {"//", "**", "==", "!=", ">=", "<="})
            if (starts(op)) {
                push(Token::Kind::op, op);
                return advance(2);
            }
        if (std::string_view("+-*/%~()[]{}><=.:|,;").find(c) == std::string_view::npos) error(std::string("unexpected character '") + c + "'");
        if (c == '(' || c == '[' || c == '{') open += c == '(' ? ')' : c == '[' ? ']' : '}';
        if (c == ')' || c == ']' || c == '}') {
            if (open.empty() || open.back() != c) error(std::string("unexpected '") + c + "'");
            open.pop_back();
        }
        push(Token::Kind::op, std::string(1, c));
        advance(1);
    }

    void number() {
        size_t n = 0;
        const auto peek = [&](size_t i) { return at_ + i < source_.size() ? source_[at_ + i] : '\0'; };
        int base = 10;
        if (peek(0) == '0' && (peek(1) == 'x' || peek(1) == 'X')) base = 16;
        if (peek(0) == '0' && (peek(1) == 'o' || peek(1) == 'O')) base = 8;
        if (peek(0) == '0' && (peek(1) == 'b' || peek(1) == 'B')) base = 2;
        std::string digits;
        if (base != 10) {
            for (n = 2; is_name_char(peek(n)); ++n)
                if (peek(n) != '_') digits += peek(n);
        } else {
            bool real = false;
            const auto take = [&] {
                for (; is_digit(peek(n)) || (peek(n) == '_' && is_digit(peek(n + 1))); ++n)
                    if (peek(n) != '_') digits += peek(n);
            };
            take();
            if (peek(n) == '.' && is_digit(peek(n + 1))) {
                real = true;
                digits += '.';
                ++n;
                take();
            }
            const size_t sign = peek(n + 1) == '+' || peek(n + 1) == '-' ? 1 : 0;
            if ((peek(n) == 'e' || peek(n) == 'E') && is_digit(peek(n + 1 + sign))) {
                real = true;
                digits += 'e';
                if (sign) digits += peek(n + 1);
                n += 1 + sign;
                take();
            }
            if (real) {
                push(Token::Kind::real);
                double d = 0;
                if (std::from_chars(digits.data(), digits.data() + digits.size(), d).ec == std::errc::result_out_of_range) d = HUGE_VAL;
                tokens_.back().real = d;
                return advance(n);
            }
        }
        int64_t value = 0;
        const auto [end, code] = std::from_chars(digits.data(), digits.data() + digits.size(), value, base);
        if (code != std::errc() || end != digits.data() + digits.size()) error("the number " + source_.substr(at_, n) + " is no whole number of 64 bits");
        push(Token::Kind::integer);
        tokens_.back().integer = value;
        advance(n);
    }

    // Python's escapes.
    void string(char quote) {
        const uint32_t line = line_;
        std::string out;
        size_t p = at_ + 1;
        const auto hex = [&](size_t count) {
            char32_t value = 0;
            for (size_t i = 0; i < count; ++i) {
                const char c = p < source_.size() ? source_[p++] : '\0';
                const int d = is_digit(c) ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
                if (d < 0) error("a string has a broken \\x or \\u");
                value = value * 16 + static_cast<char32_t>(d);
            }
            if (value > 0x10FFFF || (value >= 0xD800 && value < 0xE000)) value = kReplacement;
            utf8_append(out, value);
        };
        for (;;) {
            if (p >= source_.size()) error("a string without its end");
            const char c = source_[p++];
            if (c == quote) break;
            if (c != '\\') {
                out += c;
                continue;
            }
            if (p >= source_.size()) error("a string without its end");
            const char e = source_[p++];
            static constexpr std::string_view from = "ntrabfv\\'\"", to = "\n\t\r\a\b\f\v\\'\"";
            if (const size_t i = from.find(e); i != std::string_view::npos) out += to[i];
            else if (e == '\n') continue;
            else if (e == 'x') hex(2);
            else if (e == 'u') hex(4);
            else if (e == 'U') hex(8);
            else if (e >= '0' && e <= '7') {
                char32_t value = static_cast<char32_t>(e - '0');
                for (int i = 0; i < 2 && p < source_.size() && source_[p] >= '0' && source_[p] <= '7'; ++i) value = value * 8 + static_cast<char32_t>(source_[p++] - '0');
                utf8_append(out, value);
            } else {
                out += '\\';
                out += e;
            }
        }
        push(Token::Kind::string, std::move(out));
        tokens_.back().line = line;
        advance(p - at_);
    }

    std::string source_;
    size_t at_ = 0;
    uint32_t line_ = 1;
    bool line_starting_ = true;
    std::vector<Token> tokens_;
};

}  // namespace

std::vector<Token> tokenize(std::string_view source) { return Lexer(source).run(); }

}  // namespace orrery::text::jinja
