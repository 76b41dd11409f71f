#include "common/format_error.h"

#include <cstdio>
#include <limits>

namespace orrery::formats {

namespace {

struct Utf8Step {
    size_t length;  // bytes consumed, at least 1
    bool valid;
};

bool in_range(unsigned char byte, unsigned char low, unsigned char high) { return byte >= low && byte <= high; }

// Unicode 15, table 3-7: the first continuation byte has a narrower range after E0, ED, F0 and F4.
Utf8Step utf8_step(std::string_view text, size_t at) {
    const auto byte = [&](size_t i) { return static_cast<unsigned char>(text[i]); };
    const unsigned char lead = byte(at);
    if (lead < 0x80) return {1, true};
    size_t more = 0;
    unsigned char low = 0x80, high = 0xBF;
    if (in_range(lead, 0xC2, 0xDF)) {
        more = 1;
    } else if (in_range(lead, 0xE0, 0xEF)) {
        more = 2;
        if (lead == 0xE0) low = 0xA0;
        if (lead == 0xED) high = 0x9F;
    } else if (in_range(lead, 0xF0, 0xF4)) {
        more = 3;
        if (lead == 0xF0) low = 0x90;
        if (lead == 0xF4) high = 0x8F;
    } else {
        return {1, false};
    }
    for (size_t i = 1; i <= more; ++i) {
        if (at + i >= text.size() || !in_range(byte(at + i), low, high)) return {i, false};
        low = 0x80;
        high = 0xBF;
    }
    return {more + 1, true};
}

void append_hex(std::string& dst, const char* format, unsigned value) {
    char digits[8];
    std::snprintf(digits, sizeof digits, format, value);
    dst += digits;
}

}  // namespace

size_t ill_formed_utf8_at(std::string_view text) {
    for (size_t at = 0; at < text.size();) {
        const Utf8Step step = utf8_step(text, at);
        if (!step.valid) return at;
        at += step.length;
    }
    return std::string_view::npos;
}

void check_name(const std::string& who, std::string_view name) {
    if (name.empty()) throw FormatError(ErrorKind::kCorrupt, who + " is empty");
    const size_t ill_formed = ill_formed_utf8_at(name);
    if (ill_formed != std::string_view::npos) {
        throw FormatError(ErrorKind::kCorrupt, who + " is not UTF-8 from its byte " + std::to_string(ill_formed) + " on: " + in_quotes(name));
    }
    const size_t nul = name.find('\0');
    if (nul != std::string_view::npos)
        throw FormatError(ErrorKind::kCorrupt, who + " has a NUL at its byte " + std::to_string(nul) + ": " + in_quotes(name));
}

std::string in_quotes(std::string_view text) {
    constexpr size_t kMaxQuotedBytes = 120;
    std::string result = "'";
    size_t at = 0;
    while (at < text.size() && at < kMaxQuotedBytes) {
        const Utf8Step step = utf8_step(text, at);
        const auto lead = static_cast<unsigned char>(text[at]);
        if (step.valid && lead >= 0x20 && lead != 0x7F) {
            result.append(text, at, step.length);
        } else {
            for (size_t i = 0; i < step.length; ++i) append_hex(result, "\\x%02x", static_cast<unsigned char>(text[at + i]));
        }
        at += step.length;
    }
    result += "'";
    if (at < text.size()) result += " (first " + std::to_string(at) + " of " + std::to_string(text.size()) + " bytes)";
    return result;
}

void append_json_string(std::string& dst, std::string_view text) {
    dst += '"';
    for (size_t at = 0; at < text.size();) {
        const Utf8Step step = utf8_step(text, at);
        const auto lead = static_cast<unsigned char>(text[at]);
        if (!step.valid) {
            dst += "\xEF\xBF\xBD";
        } else if (lead == '"' || lead == '\\') {
            dst += '\\';
            dst += text[at];
        } else if (lead == '\n') {
            dst += "\\n";
        } else if (lead == '\t') {
            dst += "\\t";
        } else if (lead < 0x20) {
            append_hex(dst, "\\u%04x", lead);
        } else {
            dst.append(text, at, step.length);
        }
        at += step.length;
    }
    dst += '"';
}

bool checked_mul(uint64_t a, uint64_t b, uint64_t& dst) {
    if (b != 0 && a > std::numeric_limits<uint64_t>::max() / b) return false;
    dst = a * b;
    return true;
}

bool checked_add(uint64_t a, uint64_t b, uint64_t& dst) {
    if (a > std::numeric_limits<uint64_t>::max() - b) return false;
    dst = a + b;
    return true;
}

}  // namespace orrery::formats
