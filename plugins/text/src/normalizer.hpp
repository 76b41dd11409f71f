// Normalisers: text to text, before it is cut.
#pragma once

#include <memory>
#include <string>
#include <string_view>

#include "json.hpp"

namespace orrery::text {

struct NormalText {
    std::string text;        // valid UTF-8
    bool at_origin = false;  // its first character is the first of the whole input (Metaspace "first" asks)
};

class Normalizer {
  public:
    virtual ~Normalizer() = default;
    virtual void apply(NormalText& t) const = 0;
};

std::unique_ptr<Normalizer> make_normalizer(const Json& json, int depth = 0);  // throws TextError
std::unique_ptr<Normalizer> make_bert_normalizer(bool clean, bool chinese, bool strip_accents, bool lowercase);
std::unique_ptr<Normalizer> make_replace_normalizer(std::string_view from, std::string_view to);

// SentencePiece's compiled rewrite rules: a double array (Kanda 2018, "Space- and Time-Efficient String Dictionaries"; darts-clone's layout)
// from byte sequences to offsets of zero-terminated replacements.
class Charsmap {
  public:
    explicit Charsmap(std::string_view blob, const std::string& where);  // throws TextError
    // The replacement of the shortest (or longest) rule that s starts with, and its length in s. False: none.
    bool find(std::string_view s, bool longest, std::string_view& replacement, size_t& length) const;

  private:
    std::vector<uint32_t> units_;
    std::string replacements_;
};

// Appends the decoded bytes; throws TextError naming `where`.
std::string decode_base64(std::string_view text, const std::string& where);

}  // namespace orrery::text
