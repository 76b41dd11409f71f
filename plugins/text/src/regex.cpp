#include "regex.hpp"

#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>

#include "text.hpp"
#include "unicode.hpp"

namespace orrery::text {

Regex::Regex(std::string_view pattern) : pattern_(pattern), code_(nullptr) {
    constexpr size_t kMaxPattern = 1u << 16;
    if (pattern.size() > kMaxPattern) throw TextError(ErrorKind::limit, "regular expression of " + std::to_string(pattern.size()) + " bytes, the limit is 65536");
    if (!utf8_valid(pattern)) throw TextError(ErrorKind::invalid_data, "regular expression is not UTF-8");
    const std::string translated = translate_regex(pattern);
    pcre2_compile_context* context = pcre2_compile_context_create(nullptr);
    if (!context) throw std::bad_alloc();
    pcre2_set_newline(context, PCRE2_NEWLINE_LF);
    pcre2_set_parens_nest_limit(context, 200);
    int error = 0;
    PCRE2_SIZE offset = 0;
    pcre2_code* code = pcre2_compile(reinterpret_cast<PCRE2_SPTR>(translated.data()), translated.size(), PCRE2_UTF | PCRE2_UCP | PCRE2_MULTILINE | PCRE2_NEVER_BACKSLASH_C,
                                     &error, &offset, context);
    pcre2_compile_context_free(context);
    if (!code) {
        PCRE2_UCHAR why[256];
        pcre2_get_error_message(error, why, sizeof why);
        throw TextError(ErrorKind::unsupported, "regular expression \"" + pattern_ + "\": " + reinterpret_cast<const char*>(why));
    }
    pcre2_jit_compile(code, PCRE2_JIT_COMPLETE);  // where it fails, the interpreter runs
    code_ = code;
}

Regex::~Regex() { pcre2_code_free(static_cast<pcre2_code*>(code_)); }

Regex::Finder::Finder(const Regex& regex) : regex_(regex), data_(pcre2_match_data_create(1, nullptr)) {
    if (!data_) throw std::bad_alloc();
}

Regex::Finder::~Finder() {
    pcre2_match_data_free(static_cast<pcre2_match_data*>(data_));
    pcre2_match_context_free(static_cast<pcre2_match_context*>(context_));
    pcre2_jit_stack_free(static_cast<pcre2_jit_stack*>(stack_));
}

void Regex::Finder::reset(std::string_view text) {
    text_ = text;
    at_ = 0;
    last_end_ = SIZE_MAX;
}

int Regex::Finder::match(size_t from) {
    const auto run = [&] {
        return pcre2_match(static_cast<pcre2_code*>(regex_.code_), reinterpret_cast<PCRE2_SPTR>(text_.data()), text_.size(), from, PCRE2_NO_UTF_CHECK,
                           static_cast<pcre2_match_data*>(data_), static_cast<pcre2_match_context*>(context_));
    };
    int n = run();
    if (n == PCRE2_ERROR_JIT_STACKLIMIT && !stack_) {  // the default is 32 KiB of the machine stack
        context_ = pcre2_match_context_create(nullptr);
        stack_ = pcre2_jit_stack_create(64 << 10, 64 << 20, nullptr);
        if (!context_ || !stack_) throw std::bad_alloc();
        pcre2_jit_stack_assign(static_cast<pcre2_match_context*>(context_), nullptr, stack_);
        n = run();
    }
    return n;
}

bool Regex::Finder::next(size_t& begin, size_t& end) {
    while (at_ <= text_.size()) {
        const int n = match(at_);
        if (n == PCRE2_ERROR_NOMATCH) return false;
        if (n < 0) {
            PCRE2_UCHAR why[256];
            pcre2_get_error_message(n, why, sizeof why);
            throw TextError(ErrorKind::limit, "regular expression \"" + regex_.pattern_ + "\" gave up at byte " + std::to_string(at_) + " of a text of " +
                                                  std::to_string(text_.size()) + ": " + reinterpret_cast<const char*>(why));
        }
        const PCRE2_SIZE* span = pcre2_get_ovector_pointer(static_cast<pcre2_match_data*>(data_));
        begin = span[0];
        end = span[1];
        if (end < begin) throw TextError(ErrorKind::unsupported, "regular expression \"" + regex_.pattern_ + "\" ends before it begins");
        if (begin == end && end == last_end_) {  // not empty directly after the last match
            at_ += at_ < text_.size() ? utf8_length(static_cast<unsigned char>(text_[at_])) : 1;
            continue;
        }
        at_ = last_end_ = end;
        return true;
    }
    return false;
}

}  // namespace orrery::text
