#include "unicode.hpp"

#include <utf8proc.h>

#include <algorithm>
#include <cstring>
#include <iterator>
#include <vector>

#include "text.hpp"
#include "unicode_delta.hpp"

namespace orrery::text {

size_t utf8_read(std::string_view s, char32_t& cp) {
    if (s.empty()) return 0;
    const auto* p = reinterpret_cast<const unsigned char*>(s.data());
    const unsigned lead = p[0];
    if (lead < 0x80) {
        cp = lead;
        return 1;
    }
    const size_t n = lead < 0xC2 ? 0 : lead < 0xE0 ? 2 : lead < 0xF0 ? 3 : lead < 0xF5 ? 4 : 0;
    if (n == 0 || s.size() < n) return 0;
    char32_t value = lead & (0x7Fu >> n);
    for (size_t i = 1; i < n; ++i) {
        if ((p[i] & 0xC0) != 0x80) return 0;
        value = value << 6 | (p[i] & 0x3F);
    }
    if ((n == 3 && (value < 0x800 || (value >= 0xD800 && value < 0xE000))) || (n == 4 && (value < 0x10000 || value > 0x10FFFF))) return 0;
    cp = value;
    return n;
}

char32_t utf8_next(const char*& p) {
    const auto b = [&](int i) { return static_cast<char32_t>(static_cast<unsigned char>(p[i])); };
    const char32_t lead = b(0);
    if (lead < 0x80) return ++p, lead;
    if (lead < 0xE0) return p += 2, (lead & 0x1F) << 6 | (b(-1) & 0x3F);
    if (lead < 0xF0) return p += 3, (lead & 0x0F) << 12 | (b(-2) & 0x3F) << 6 | (b(-1) & 0x3F);
    return p += 4, (lead & 0x07) << 18 | (b(-3) & 0x3F) << 12 | (b(-2) & 0x3F) << 6 | (b(-1) & 0x3F);
}

void utf8_append(std::string& s, char32_t c) {
    if (c < 0x80) {
        s += static_cast<char>(c);
    } else if (c < 0x800) {
        s += static_cast<char>(0xC0 | c >> 6);
        s += static_cast<char>(0x80 | (c & 0x3F));
    } else if (c < 0x10000) {
        s += static_cast<char>(0xE0 | c >> 12);
        s += static_cast<char>(0x80 | (c >> 6 & 0x3F));
        s += static_cast<char>(0x80 | (c & 0x3F));
    } else {
        s += static_cast<char>(0xF0 | c >> 18);
        s += static_cast<char>(0x80 | (c >> 12 & 0x3F));
        s += static_cast<char>(0x80 | (c >> 6 & 0x3F));
        s += static_cast<char>(0x80 | (c & 0x3F));
    }
}

namespace {

size_t ascii_prefix(std::string_view s) {
    size_t i = 0;
    for (; i + 8 <= s.size(); i += 8) {
        uint64_t word;
        std::memcpy(&word, s.data() + i, 8);
        if (word & 0x8080808080808080ull) break;
    }
    while (i < s.size() && static_cast<unsigned char>(s[i]) < 0x80) ++i;
    return i;
}

// Length of the maximal subpart of an ill-formed sequence at the start of s; `open` says that more bytes could complete it.
size_t ill_formed_length(std::string_view s, bool& open) {
    open = false;
    const auto byte = [&](size_t i) { return static_cast<unsigned char>(s[i]); };
    const unsigned lead = byte(0);
    const size_t n = lead < 0xC2 ? 0 : lead < 0xE0 ? 2 : lead < 0xF0 ? 3 : lead < 0xF5 ? 4 : 0;
    if (n == 0) return 1;
    for (size_t i = 1; i < n; ++i) {
        if (i == s.size()) {
            open = true;
            return i;
        }
        unsigned low = 0x80, high = 0xBF;
        if (i == 1) {
            if (lead == 0xE0) low = 0xA0;
            if (lead == 0xED) high = 0x9F;
            if (lead == 0xF0) low = 0x90;
            if (lead == 0xF4) high = 0x8F;
        }
        if (byte(i) < low || byte(i) > high) return i;
    }
    return 1;  // not reached: such a sequence is well-formed
}

template <size_t N>
bool in(const CodeRange (&ranges)[N], char32_t c) {
    const auto* at = std::lower_bound(std::begin(ranges), std::end(ranges), c, [](const CodeRange& r, char32_t x) { return r.last < x; });
    return at != std::end(ranges) && at->first <= c;
}

bool is_category(char32_t c, uint32_t mask) { return mask >> utf8proc_category(static_cast<utf8proc_int32_t>(c)) & 1; }

constexpr uint32_t bit(utf8proc_category_t c) { return 1u << c; }
constexpr uint32_t kNumber = bit(UTF8PROC_CATEGORY_ND) | bit(UTF8PROC_CATEGORY_NL) | bit(UTF8PROC_CATEGORY_NO);
constexpr uint32_t kPunct = bit(UTF8PROC_CATEGORY_PC) | bit(UTF8PROC_CATEGORY_PD) | bit(UTF8PROC_CATEGORY_PS) | bit(UTF8PROC_CATEGORY_PE) |
                            bit(UTF8PROC_CATEGORY_PI) | bit(UTF8PROC_CATEGORY_PF) | bit(UTF8PROC_CATEGORY_PO);
constexpr uint32_t kMarks = bit(UTF8PROC_CATEGORY_MN) | bit(UTF8PROC_CATEGORY_MC) | bit(UTF8PROC_CATEGORY_ME);
constexpr uint32_t kLetters = bit(UTF8PROC_CATEGORY_LU) | bit(UTF8PROC_CATEGORY_LL) | bit(UTF8PROC_CATEGORY_LT) | bit(UTF8PROC_CATEGORY_LM) |
                              bit(UTF8PROC_CATEGORY_LO);

// Characters that no normal form changes and that never join the character before them. A quick test: false only costs time.
bool is_inert(char32_t c, NormalForm form) {
    if (c < 0x80) return true;
    if (form == NormalForm::nfc && c < 0x300) return true;
    if (c < 0x3400) return (c >= 0x3041 && c <= 0x304A) || (c >= 0x410 && c <= 0x44F && form == NormalForm::nfc && c != 0x419 && c != 0x439);
    if (c < 0xA000) return true;  // CJK ideographs
    if (c >= 0xAC00 && c <= 0xD7A3) return form == NormalForm::nfc || form == NormalForm::nfkc;
    return c >= 0x1F300 && c <= 0x1FAFF;
}

void normalize_part(std::string_view s, NormalForm form, std::string& out) {
    int options = UTF8PROC_STABLE;
    options |= form == NormalForm::nfd || form == NormalForm::nfkd ? UTF8PROC_DECOMPOSE : UTF8PROC_COMPOSE;
    if (form == NormalForm::nfkc || form == NormalForm::nfkd) options |= UTF8PROC_COMPAT;
    thread_local std::vector<utf8proc_int32_t> buffer;  // scratch only: its contents never outlive the call
    buffer.resize(std::max(buffer.size(), s.size() * 3 + 32));
    const auto call = [&] {
        return utf8proc_decompose(reinterpret_cast<const utf8proc_uint8_t*>(s.data()), static_cast<utf8proc_ssize_t>(s.size()), buffer.data(),
                                  static_cast<utf8proc_ssize_t>(buffer.size()), static_cast<utf8proc_option_t>(options));
    };
    utf8proc_ssize_t n = call();
    if (n > static_cast<utf8proc_ssize_t>(buffer.size())) {
        buffer.resize(static_cast<size_t>(n) + 1);
        n = call();
    }
    if (n >= 0) n = utf8proc_normalize_utf32(buffer.data(), n, static_cast<utf8proc_option_t>(options));
    if (n < 0) throw TextError(ErrorKind::invalid_data, std::string("text: Unicode normalisation failed: ") + utf8proc_errmsg(n));
    for (utf8proc_ssize_t i = 0; i < n; ++i) utf8_append(out, static_cast<char32_t>(buffer[static_cast<size_t>(i)]));
    if (buffer.size() > (1u << 16)) buffer = {};
}

}  // namespace

bool utf8_valid(std::string_view s) {
    while (!s.empty()) {
        s.remove_prefix(ascii_prefix(s));
        char32_t cp;
        while (!s.empty() && static_cast<unsigned char>(s[0]) >= 0x80) {
            const size_t n = utf8_read(s, cp);
            if (n == 0) return false;
            s.remove_prefix(n);
        }
    }
    return true;
}

std::string utf8_lossy(std::string_view s) {
    std::string rest(s), out;
    out.reserve(s.size());
    utf8_drain(rest, out);
    if (!rest.empty()) utf8_append(out, kReplacement);
    return out;
}

void utf8_drain(std::string& bytes, std::string& out) {
    std::string_view s = bytes;
    while (!s.empty()) {
        char32_t cp;
        size_t n = utf8_read(s, cp);
        if (n != 0) {
            out.append(s.substr(0, n));
        } else {
            bool open;
            n = ill_formed_length(s, open);
            if (open) break;
            utf8_append(out, kReplacement);
        }
        s.remove_prefix(n);
    }
    bytes.erase(0, bytes.size() - s.size());
}

bool is_white_space(char32_t c) {
    if (c < 0x80) return c == ' ' || (c >= 9 && c <= 13);
    return c == 0x85 || c == 0xA0 || c == 0x1680 || (c >= 0x2000 && c <= 0x200A) || c == 0x2028 || c == 0x2029 || c == 0x202F || c == 0x205F || c == 0x3000;
}

bool is_numeric(char32_t c) {
    if (c < 0x80) return c >= '0' && c <= '9';
    return (is_category(c, kNumber) && !in(kNumericDrop, c)) || in(kNumericAdd, c);
}

bool is_punctuation(char32_t c) {
    if (c < 0x80) return (c >= '!' && c <= '/') || (c >= ':' && c <= '@') || (c >= '[' && c <= '`') || (c >= '{' && c <= '~');
    return (is_category(c, kPunct) && !in(kPunctuationDrop, c)) || in(kPunctuationAdd, c);
}

bool is_word(char32_t c) {
    if (c < 0x80) return (c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || c == '_';
    constexpr uint32_t word = kLetters | kMarks | bit(UTF8PROC_CATEGORY_ND) | bit(UTF8PROC_CATEGORY_NL) | bit(UTF8PROC_CATEGORY_PC);
    return (is_category(c, word) && !in(kWordDrop, c)) || in(kWordAdd, c);
}

bool is_other(char32_t c) {
    if (c < 0x80) return c < 0x20 || c == 0x7F;
    constexpr uint32_t other = bit(UTF8PROC_CATEGORY_CC) | bit(UTF8PROC_CATEGORY_CF) | bit(UTF8PROC_CATEGORY_CO);
    return is_category(c, other) && !in(kOtherDrop, c);
}

bool is_nonspacing_mark(char32_t c) {
    if (c < 0x300) return false;
    return (is_category(c, bit(UTF8PROC_CATEGORY_MN)) && !in(kNonSpacingDrop, c)) || in(kNonSpacingAdd, c);
}

bool is_mark(char32_t c) {
    if (c < 0x300) return false;
    return (is_category(c, kMarks) && !in(kMarkDrop, c)) || in(kMarkAdd, c);
}

bool is_chinese(char32_t c) {
    return (c >= 0x4E00 && c <= 0x9FFF) || (c >= 0x3400 && c <= 0x4DBF) || (c >= 0x20000 && c <= 0x2A6DF) || (c >= 0x2A700 && c <= 0x2B73F) ||
           (c >= 0x2B740 && c <= 0x2B81F) || (c >= 0x2B920 && c <= 0x2CEAF) || (c >= 0xF900 && c <= 0xFAFF) || (c >= 0x2F800 && c <= 0x2FA1F);
}

void append_lower(std::string& s, char32_t c) {
    if (c < 0x80) {
        s += static_cast<char>(c >= 'A' && c <= 'Z' ? c + 32 : c);
        return;
    }
    if (c == 0x130) {
        s += "i\xCC\x87";
        return;
    }
    const auto* at = std::lower_bound(std::begin(kLower), std::end(kLower), c, [](const CodePair& p, char32_t x) { return p.from < x; });
    utf8_append(s, at != std::end(kLower) && at->from == c ? at->to : static_cast<char32_t>(utf8proc_tolower(static_cast<utf8proc_int32_t>(c))));
}

void append_upper(std::string& s, char32_t c) {
    if (c == 0xDF) s += "SS";
    else utf8_append(s, static_cast<char32_t>(utf8proc_toupper(static_cast<utf8proc_int32_t>(c))));
}

std::string normalize(std::string_view s, NormalForm form) {
    std::string out;
    out.reserve(s.size() + s.size() / 8);
    const char *p = s.data(), *end = p + s.size();
    const char* copied = p;     // everything before it is in out
    const char* previous = p;   // the character before p, where it may still be composed with
    while (p < end) {
        if (static_cast<unsigned char>(*p) < 0x80) {
            previous = p++;
            continue;
        }
        const char* start = p;
        const char32_t c = utf8_next(p);
        if (is_inert(c, form)) {
            previous = start;
            continue;
        }
        // A part to normalise: from the character before to the next inert one.
        const char* part = previous < start && previous >= copied ? previous : start;
        out.append(copied, static_cast<size_t>(part - copied));
        p = start;
        while (p < end) {
            const char* q = p;
            const char32_t d = utf8_next(q);
            if (is_inert(d, form)) break;
            if (in(kOpaque, d)) {
                if (p > part) normalize_part({part, static_cast<size_t>(p - part)}, form, out);
                out.append(p, static_cast<size_t>(q - p));
                part = q;
            }
            p = q;
        }
        if (p > part) normalize_part({part, static_cast<size_t>(p - part)}, form, out);
        copied = previous = p;
        if (p < end) utf8_next(p);  // the inert one, which may yet be composed with what follows
    }
    out.append(copied, static_cast<size_t>(end - copied));
    return out;
}

size_t grapheme_length(std::string_view s) {
    const char *p = s.data(), *end = p + s.size();
    char32_t previous = utf8_next(p);
    utf8proc_int32_t state = 0;
    while (p < end) {
        const char* q = p;
        const char32_t c = utf8_next(q);
        if (utf8proc_grapheme_break_stateful(static_cast<utf8proc_int32_t>(previous), static_cast<utf8proc_int32_t>(c), &state)) break;
        previous = c;
        p = q;
    }
    return static_cast<size_t>(p - s.data());
}

}  // namespace orrery::text
