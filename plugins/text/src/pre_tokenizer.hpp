// Pre-tokenisers: cut a text into the pieces that the model sees one by one.
#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "json.hpp"

namespace orrery::text {

struct Piece {
    size_t begin, end;
    bool at_origin;
};

// Pieces of one text. A step may replace the text.
struct Pieces {
    std::string text;
    std::vector<Piece> list;  // none empty
    std::string_view view(const Piece& p) const { return {text.data() + p.begin, p.end - p.begin}; }
};

enum class SplitBehavior { removed, isolated, merged_with_previous, merged_with_next, contiguous };

class PreTokenizer {
  public:
    virtual ~PreTokenizer() = default;
    virtual void apply(Pieces& pieces) const = 0;
    // Whether the last step writes bytes in GPT-2's alphabet, and asking it not to, for a model that takes raw bytes.
    virtual bool writes_alphabet() const { return false; }
    virtual void keep_bytes_raw() {}
};

std::unique_ptr<PreTokenizer> make_pre_tokenizer(const Json& json, int depth = 0);  // throws TextError
std::unique_ptr<PreTokenizer> make_split(std::string_view regex, SplitBehavior behavior, bool invert);
std::unique_ptr<PreTokenizer> make_bert_pre_tokenizer();
std::unique_ptr<PreTokenizer> make_byte_level_pre_tokenizer(bool add_prefix_space, bool use_regex);
std::unique_ptr<PreTokenizer> make_pre_tokenizer_sequence(std::vector<std::unique_ptr<PreTokenizer>> parts);

}  // namespace orrery::text
