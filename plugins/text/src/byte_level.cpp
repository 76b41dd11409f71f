#include "byte_level.hpp"

#include <array>

#include "unicode.hpp"

namespace orrery::text {
namespace {

constexpr bool is_printable(int b) { return (b >= '!' && b <= '~') || (b >= 0xA1 && b <= 0xAC) || (b >= 0xAE && b <= 0xFF); }

struct Alphabet {
    std::array<char32_t, 256> to_char{};
    std::array<int, 0x200> to_byte{};
    constexpr Alphabet() {
        for (int& b : to_byte) b = -1;
        char32_t next = 0x100;
        for (int b = 0; b < 256; ++b) {
            const char32_t c = is_printable(b) ? static_cast<char32_t>(b) : next++;
            to_char[static_cast<size_t>(b)] = c;
            to_byte[c] = b;
        }
    }
};
constexpr Alphabet kAlphabet;

}  // namespace

char32_t byte_to_char(unsigned char byte) { return kAlphabet.to_char[byte]; }

int char_to_byte(char32_t c) { return c < 0x200 ? kAlphabet.to_byte[c] : -1; }

void append_byte_level(std::string& out, std::string_view bytes) {
    for (char b : bytes) utf8_append(out, byte_to_char(static_cast<unsigned char>(b)));
}

bool byte_level_bytes(std::string_view token, std::string& bytes) {
    bytes.clear();
    const char *p = token.data(), *end = p + token.size();
    while (p < end) {
        const int b = char_to_byte(utf8_next(p));
        if (b < 0) return false;
        bytes += static_cast<char>(b);
    }
    return true;
}

}  // namespace orrery::text
