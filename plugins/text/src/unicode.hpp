// UTF-8 and the character classes that Hugging Face `tokenizers` uses.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace orrery::text {

constexpr char32_t kReplacement = 0xFFFD;

// Length of the well-formed character at the start of s; 0 where s is empty or starts with none. cp receives it.
size_t utf8_read(std::string_view s, char32_t& cp);
// The same on text known to be valid UTF-8 and not empty.
char32_t utf8_next(const char*& p);
inline size_t utf8_length(unsigned char lead) { return lead < 0x80 ? 1 : lead < 0xE0 ? 2 : lead < 0xF0 ? 3 : 4; }
void utf8_append(std::string& s, char32_t cp);
bool utf8_valid(std::string_view s);
// Each maximal ill-formed part becomes one U+FFFD (Unicode 15, section 3.9, table 3-8; Python's and Rust's rule alike).
std::string utf8_lossy(std::string_view s);
// Appends the whole characters of `bytes` to out, lossily, and keeps an unfinished tail in bytes.
void utf8_drain(std::string& bytes, std::string& out);

// Of ASCII alone; those of <cctype> follow the host's locale.
constexpr bool ascii_is_upper(char c) { return c >= 'A' && c <= 'Z'; }
constexpr bool ascii_is_lower(char c) { return c >= 'a' && c <= 'z'; }
constexpr bool ascii_is_alnum(char c) { return ascii_is_upper(c) || ascii_is_lower(c) || (c >= '0' && c <= '9'); }
constexpr bool ascii_is_space(char c) { return c == ' ' || (c >= '\t' && c <= '\r'); }
constexpr char ascii_lower(char c) { return ascii_is_upper(c) ? static_cast<char>(c - 'A' + 'a') : c; }
constexpr char ascii_upper(char c) { return ascii_is_lower(c) ? static_cast<char>(c - 'a' + 'A') : c; }

bool is_white_space(char32_t c);   // Unicode White_Space
bool is_numeric(char32_t c);       // Nd Nl No
bool is_punctuation(char32_t c);   // ASCII punctuation and P*
bool is_word(char32_t c);          // Alphabetic, M, Nd, Pc, join controls: \w of Rust's regex
bool is_other(char32_t c);         // Cc Cf Co
bool is_nonspacing_mark(char32_t c);  // Mn
bool is_mark(char32_t c);          // M*
bool is_chinese(char32_t c);       // BERT's CJK ranges
// A number for the script of c as the UnicodeScripts pre-tokeniser has it: kana counts as Han; 0: none, such as the space and what Unicode 9
// does not assign. Throws TextError where the library here has no table of scripts. Some 1 MiB from the first call on.
uint8_t script_of(char32_t c);
// Appends the lower case of c; U+0130 gives two characters.
void append_lower(std::string& s, char32_t c);
void append_upper(std::string& s, char32_t c);

enum class NormalForm { nfc, nfd, nfkc, nfkd };
// s must be valid UTF-8.
std::string normalize(std::string_view s, NormalForm form);

// Length in bytes of the extended grapheme cluster at the start of s (valid UTF-8, not empty).
size_t grapheme_length(std::string_view s);

}  // namespace orrery::text
