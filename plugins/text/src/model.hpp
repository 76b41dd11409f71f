// Models: one piece of text to token ids.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <vector>

#include "tables.hpp"
#include "text.hpp"

namespace orrery::text {

// Tokens and their ids, both ways.
class Vocab {
  public:
    void reserve(size_t tokens, size_t bytes) {
        map_.reserve(tokens, bytes);
        ids_.reserve(tokens);
    }
    // A token may have several ids: then the last one stands for it, and each shows it.
    void set(std::string_view token, uint32_t id) { ids_.emplace_back(id, static_cast<uint32_t>(map_.set(token, id))); }
    void finish();  // after the last set()
    uint32_t find(std::string_view token) const { return map_.find(token); }
    std::optional<std::string_view> text(uint32_t id) const;
    size_t size() const { return map_.size(); }
    size_t ids() const { return count_; }     // as many as set() calls: a token with two ids counts twice
    uint32_t limit() const { return limit_; }  // highest id + 1
    std::string_view token(size_t index) const { return map_.key(index); }
    uint32_t id(size_t index) const { return map_.value(index); }

  private:
    TextMap map_;
    std::vector<std::pair<uint32_t, uint32_t>> ids_;  // until finish(): id, index of its entry
    std::vector<uint32_t> dense_;  // id -> index of the entry
    std::unordered_map<uint32_t, uint32_t> sparse_;
    size_t count_ = 0;
    uint32_t limit_ = 0;
};

// The token that stands for a byte where a model falls back to bytes: <0xNN>.
std::string byte_token(unsigned char byte);

// What one encode() call works with; kept between calls for its cache.
struct Scratch {
    struct Symbol {
        uint32_t id, previous, next, length;
    };
    struct Candidate {
        uint64_t order;
        uint32_t left, size;
    };
    WordCache cache;
    std::vector<Symbol> symbols;
    std::vector<uint32_t> ids, ranks, starts;
    std::vector<Candidate> heap;
    struct Best {
        double score;
        size_t from;
        uint32_t id;
    };
    std::vector<Best> best;
    std::vector<std::pair<size_t, size_t>> parts;
    std::string text;
};

class Model {
  public:
    virtual ~Model() = default;
    // piece: valid UTF-8, or raw bytes after accept_bytes(). Appends to out. Throws TextError.
    virtual void tokenize(std::string_view piece, Scratch& scratch, std::vector<uint32_t>& out) const = 0;
    // Switches to raw bytes instead of GPT-2's alphabet. False: the model cannot.
    virtual bool accept_bytes() { return false; }
    Vocab vocab;
};

struct BpeOptions {
    std::string unk_token, prefix, suffix;
    bool has_unk = false, fuse_unk = false, byte_fallback = false, ignore_merges = false;
    bool skip_unknown_merges = false;  // else a merge of tokens outside the vocabulary is an error
    bool first_merge_counts = false;   // of equal merges; else the last
};
// merges: left and right in order of rank; the views are read here only. vocab is finished.
std::unique_ptr<Model> make_bpe(Vocab vocab, const std::vector<std::pair<std::string_view, std::string_view>>& merges, const BpeOptions& options);

// llama.cpp's SentencePiece BPE: the neighbours whose joined text has the highest score merge first. Characters outside the vocabulary become
// their <0xNN> tokens, else unk. scores by id.
std::unique_ptr<Model> make_scored_bpe(Vocab vocab, std::vector<float> scores, std::optional<uint32_t> unk);

struct UnigramOptions {
    std::optional<uint32_t> unk;
    bool byte_fallback = false;
    double unk_score = 0;
    std::vector<bool> hidden;  // by id: not found in text. Empty: all are found
};
std::unique_ptr<Model> make_unigram(Vocab vocab, std::vector<double> scores, const UnigramOptions& options);

struct WordPieceOptions {
    std::string unk_token = "[UNK]", first_prefix, rest_prefix = "##";
    uint64_t max_chars = 100;
};
std::unique_ptr<Model> make_word_piece(Vocab vocab, const WordPieceOptions& options);
std::unique_ptr<Model> make_word_level(Vocab vocab, std::string unk_token);

}  // namespace orrery::text
