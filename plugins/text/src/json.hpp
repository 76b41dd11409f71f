// Reading members of a JSON object, with errors that name where they are.
#pragma once

#include <nlohmann/json.hpp>
#include <string>
#include <string_view>

#include "text.hpp"

namespace orrery::text {

using Json = nlohmann::json;

constexpr int kMaxComponentDepth = 32;  // Sequence in Sequence in …

// A JSON object and the words that name it in messages, such as "normalizer Replace".
class JsonView {
  public:
    // Throws where value is no object.
    JsonView(const Json& value, std::string where);
    const std::string& where() const { return where_; }
    bool has(const char* key) const;  // present and not null
    const Json& at(const char* key) const;  // throws where it is missing or null
    std::string text(const char* key) const;
    std::string text_or(const char* key, std::string_view otherwise) const;
    bool flag(const char* key) const;
    bool flag_or(const char* key, bool otherwise) const;
    uint64_t count(const char* key) const;  // a whole number >= 0
    const Json& list(const char* key) const;
    std::string type() const { return text("type"); }
    [[noreturn]] void fail(const std::string& why, ErrorKind kind = ErrorKind::invalid_data) const;

  private:
    const Json& value_;
    std::string where_;
};

// The whole of a file's text. Throws TextError naming `what`.
Json parse_json(std::string_view text, const char* what);
// A token id; throws where it is none.
uint32_t token_id(const Json& value, const std::string& where);

}  // namespace orrery::text
