// GPT-2's alphabet: each byte as one printable character (Radford et al. 2019, encoder.py of the GPT-2 release).
#pragma once

#include <string>
#include <string_view>

namespace orrery::text {

char32_t byte_to_char(unsigned char byte);
int char_to_byte(char32_t c);  // -1: not in the alphabet
void append_byte_level(std::string& out, std::string_view bytes);
// The bytes that `token` stands for. False: it has characters outside the alphabet.
bool byte_level_bytes(std::string_view token, std::string& bytes);

}  // namespace orrery::text
