// Tokens that are found in the text as they are, before the model sees it.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "model.hpp"
#include "normalizer.hpp"

namespace orrery::text {

struct Section {
    size_t begin, end;
    uint32_t id;  // kNone: text
};

// Hugging Face's added tokens: leftmost first, longest of those; on the raw text for the plain ones, after normalising for the others.
class AddedTokens {
  public:
    struct Token {
        std::string content;
        uint32_t id;
        bool special = false, normalized = true, single_word = false, lstrip = false, rstrip = false;
    };
    // In file order. Ids come from the vocabulary where it has the content, else they follow it.
    void load(const Json& list, const Vocab& vocab, const Normalizer* normalizer);
    void find_raw(std::string_view text, std::vector<Section>& out) const { find(raw_, text, out); }
    void find_normalized(std::string_view text, std::vector<Section>& out) const { find(normalized_, text, out); }
    const Token* by_id(uint32_t id) const;
    uint32_t find_id(std::string_view content) const { return ids_.find(content); }
    // What decoding shows for an added id: the normalised content, as the original does.
    const std::string* shown(uint32_t id) const;
    bool is_special_text(std::string_view text) const { return special_.find(text) != kNone; }
    uint32_t limit() const { return limit_; }

  private:
    void find(const Trie& trie, std::string_view text, std::vector<Section>& out) const;
    std::vector<Token> tokens_;
    std::vector<std::string> forms_;
    std::unordered_map<uint32_t, uint32_t> by_id_;  // id -> index in tokens_
    TextMap ids_, special_;
    Trie raw_, normalized_;
    uint32_t limit_ = 0;
};

// llama.cpp's special tokens: the longest token takes its places in the whole text first, then the next longest.
class SpecialPartition {
  public:
    struct Token {
        std::string_view text;
        uint32_t id;
        bool lstrip, rstrip;
    };
    void build(const std::vector<Token>& tokens);
    void find(std::string_view text, std::vector<Section>& out) const;

  private:
    void resolve(std::string_view text, size_t begin, size_t end, std::vector<Section>& out) const;
    uint32_t match(std::string_view text, size_t at, size_t end, size_t length) const;
    Trie trie_;
    std::vector<uint32_t> lengths_;  // longest first
    std::unordered_map<uint32_t, uint8_t> strips_;  // id -> 1 left, 2 right
};

}  // namespace orrery::text
