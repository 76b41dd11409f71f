// What a reader of a file format throws, and the text helpers its messages are made with.
#pragma once

#include <cstdint>
#include <stdexcept>
#include <string>
#include <string_view>

namespace orrery::formats {

enum class ErrorKind {
    kCorrupt,      // the bytes contradict the format or each other; a retry cannot help
    kUnsupported,  // well formed, but a version, type or layout that is not read
    kIo,           // the source failed to give bytes that it said it has
    kNotFound,     // a key, tensor or file that was asked for is absent
    kWrongType,    // a value exists and has another type than the one asked for
};

class FormatError : public std::runtime_error {
  public:
    FormatError(ErrorKind kind, const std::string& message) : std::runtime_error(message), kind_(kind) {}
    ErrorKind kind() const { return kind_; }

  private:
    ErrorKind kind_;
};

// Offset of the first byte of `text` that is not well-formed UTF-8 (surrogates and overlong forms are not), or npos.
size_t ill_formed_utf8_at(std::string_view text);

// Throws FormatError(kCorrupt) unless `name` can name something across a C interface: UTF-8, not empty, no NUL inside.
// `who` begins the message, such as "gguf: the name of tensor 3".
void check_name(const std::string& who, std::string_view name);

// `text` in single quotes for a message: control and ill-formed bytes as \xNN, cut after 120 bytes.
std::string in_quotes(std::string_view text);

// Appends `text` as a JSON string. Ill-formed UTF-8 becomes U+FFFD, one for each maximal ill-formed part.
void append_json_string(std::string& dst, std::string_view text);

// a * b and a + b; false when the result does not fit in 64 bits (dst is then untouched).
bool checked_mul(uint64_t a, uint64_t b, uint64_t& dst);
bool checked_add(uint64_t a, uint64_t b, uint64_t& dst);

}  // namespace orrery::formats
