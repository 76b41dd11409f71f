#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>

#include <algorithm>
#include <iterator>
#include <memory>
#include <string>
#include <vector>

#include "text.hpp"
#include "unicode.hpp"
#include "unicode_delta.hpp"

namespace orrery::text {
namespace {

constexpr uint8_t kNone = 0, kHan = 3;
constexpr char32_t kPoints = 0x110000;
static_assert(std::size(kScripts) < 256);

struct CodeFree {
    void operator()(pcre2_code* code) const { pcre2_code_free(code); }
};
struct DataFree {
    void operator()(pcre2_match_data* data) const { pcre2_match_data_free(data); }
};

// One group for each of kScripts. The first alternative takes the long stretches without a script, which would else try every group.
std::unique_ptr<pcre2_code, CodeFree> compile_scripts() {
    std::string pattern = "\\p{sc:Unknown}+";
    for (const char* name : kScripts) pattern += std::string("|(\\p{sc:") + name + "}+)";
    int error = 0;
    PCRE2_SIZE offset = 0;
    std::unique_ptr<pcre2_code, CodeFree> code(
        pcre2_compile(reinterpret_cast<PCRE2_SPTR>(pattern.data()), pattern.size(), PCRE2_UTF, &error, &offset, nullptr));
    if (!code) {
        PCRE2_UCHAR why[256];
        pcre2_get_error_message(error, why, sizeof why);
        throw TextError(ErrorKind::unsupported,
                        "UnicodeScripts: this PCRE2 has no table of scripts: " + std::string(reinterpret_cast<const char*>(why)));
    }
    pcre2_jit_compile(code.get(), PCRE2_JIT_COMPLETE);  // where it fails, the interpreter runs
    return code;
}

// Of each code point the number of its script, counted from 1.
std::vector<uint8_t> make_table() {
    const auto code = compile_scripts();
    const std::unique_ptr<pcre2_match_data, DataFree> data(pcre2_match_data_create_from_pattern(code.get(), nullptr));
    if (!data) throw std::bad_alloc();
    std::vector<uint8_t> table(kPoints, kNone);
    constexpr char32_t kPart = 0x10000;  // at once
    for (char32_t first = 0; first < kPoints; first += kPart) {
        std::string text;
        for (char32_t c = first; c < first + kPart; ++c)
            if (c < 0xD800 || c >= 0xE000) utf8_append(text, c);
        const auto point = [&](size_t at) {
            const char* p = text.data() + at;
            return utf8_next(p);
        };
        for (size_t at = 0; at < text.size();) {
            const int groups =
                pcre2_match(code.get(), reinterpret_cast<PCRE2_SPTR>(text.data()), text.size(), at, PCRE2_NO_UTF_CHECK, data.get(), nullptr);
            if (groups == PCRE2_ERROR_NOMATCH) break;
            if (groups < 1) throw TextError(ErrorKind::limit, "UnicodeScripts: PCRE2 stopped with error " + std::to_string(groups));
            const PCRE2_SIZE* span = pcre2_get_ovector_pointer(data.get());
            at = span[1];
            if (groups == 1) continue;
            const char32_t from = point(span[0]), to = at < text.size() ? point(at) : first + kPart;
            std::fill(table.begin() + from, table.begin() + to, std::max(static_cast<uint8_t>(groups - 1), kHan));
        }
    }
    for (const auto& [from, to] : kScriptNone) std::fill(table.begin() + from, table.begin() + to + 1, kNone);
    for (const auto& [from, as] : kScriptAs) table[from] = table[as];
    return table;
}

}  // namespace

uint8_t script_of(char32_t c) {
    static const std::vector<uint8_t> table = make_table();
    return table[c];
}

}  // namespace orrery::text
