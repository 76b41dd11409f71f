// Unigram (Kudo 2018, arXiv:1804.10959), WordPiece (Schuster & Nakajima 2012) and WordLevel, as Hugging Face tokenizers 0.23 runs them.
#include <algorithm>
#include <array>

#include "model.hpp"
#include "unicode.hpp"

namespace orrery::text {
namespace {

Trie make_trie(const Vocab& vocab, const std::vector<bool>& hidden) {
    std::vector<Trie::Key> keys;
    keys.reserve(vocab.size());
    for (size_t i = 0; i < vocab.size(); ++i)
        if (vocab.id(i) >= hidden.size() || !hidden[vocab.id(i)]) keys.push_back({vocab.token(i), vocab.id(i)});
    Trie trie;
    trie.build(std::move(keys));
    return trie;
}

class Unigram : public Model {
  public:
    Unigram(Vocab v, std::vector<double> scores, const UnigramOptions& options)
        : options_(options), scores_(std::move(scores)), trie_(make_trie(v, options.hidden)) {
        vocab = std::move(v);
        for (unsigned b = 0; b < 256; ++b) bytes_[b] = vocab.find(byte_token(static_cast<unsigned char>(b)));
    }

    void tokenize(std::string_view piece, Scratch& scratch, std::vector<uint32_t>& out) const override {
        scratch.cache.append(piece, out, [&] {
            viterbi(piece, scratch.best);
            trace_back(piece, scratch, out);
        });
    }

  private:
    // best[i]: the best way to cut the first i bytes.
    void viterbi(std::string_view piece, std::vector<Scratch::Best>& best) const {
        constexpr size_t nowhere = SIZE_MAX;
        best.assign(piece.size() + 1, {0, nowhere, 0});
        for (size_t at = 0; at < piece.size();) {
            const double here = best[at].score;
            const size_t one = utf8_length(static_cast<unsigned char>(piece[at]));
            bool single = false;
            const auto offer = [&](size_t end, double score, uint32_t id) {
                if (best[end].from == nowhere || score > best[end].score) best[end] = {score, at, id};
            };
            if (!trie_.empty()) {
                uint32_t node = trie_.root();
                for (size_t end = at; end < piece.size();) {
                    node = trie_.child(node, static_cast<unsigned char>(piece[end]));
                    if (node == kNone) break;
                    ++end;
                    const uint32_t id = trie_.value(node);
                    if (id == kNone) continue;
                    offer(end, scores_[id] + here, id);
                    if (end - at == one) single = true;
                }
            }
            if (!single) {
                if (!options_.unk) throw TextError(ErrorKind::invalid_data, "model Unigram: a character is in no token and there is no unk_id");
                offer(at + one, options_.unk_score + here, *options_.unk);
            }
            at += one;
        }
    }

    // Neighbouring unknown parts count as one.
    void trace_back(std::string_view piece, Scratch& scratch, std::vector<uint32_t>& out) const {
        auto& parts = scratch.parts;
        parts.clear();
        const auto is_unk = [&](const Scratch::Best& b) { return options_.unk && b.id == *options_.unk; };
        bool fused = false;
        for (size_t end = piece.size(); end > 0;) {
            const Scratch::Best& b = scratch.best[end];
            if (is_unk(b) && fused) parts.back().first = b.from;
            else parts.push_back({b.from, end});
            fused = is_unk(b);
            end = b.from;
        }
        for (auto part = parts.rbegin(); part != parts.rend(); ++part) {
            const std::string_view text = piece.substr(part->first, part->second - part->first);
            const uint32_t id = vocab.find(text);
            if (id != kNone) {
                out.push_back(id);
            } else if (options_.byte_fallback && std::all_of(text.begin(), text.end(), [&](char b) { return bytes_[static_cast<unsigned char>(b)] != kNone; })) {
                for (char b : text) out.push_back(bytes_[static_cast<unsigned char>(b)]);
            } else {
                out.push_back(*options_.unk);
            }
        }
    }

    UnigramOptions options_;
    std::vector<double> scores_;
    Trie trie_;
    std::array<uint32_t, 256> bytes_{};
};

// Greedy longest match from the left; a word that cannot be covered is unknown as a whole.
class WordPiece : public Model {
  public:
    WordPiece(Vocab v, const WordPieceOptions& options) : options_(options), trie_(make_trie(v, {})) {
        vocab = std::move(v);
        unk_ = vocab.find(options.unk_token);
        first_ = descend(options.first_prefix);
        rest_ = descend(options.rest_prefix);
    }

    void tokenize(std::string_view piece, Scratch&, std::vector<uint32_t>& out) const override {
        const size_t begin = out.size();
        if (!fits(piece) || !cover(piece, out)) {
            out.resize(begin);
            if (unk_ == kNone) throw TextError(ErrorKind::invalid_data, "model WordPiece: the unknown token \"" + options_.unk_token + "\" is not in the vocabulary");
            out.push_back(unk_);
        }
    }

  private:
    uint32_t descend(std::string_view prefix) const {
        if (trie_.empty()) return kNone;
        uint32_t node = trie_.root();
        for (char c : prefix)
            if (node != kNone) node = trie_.child(node, static_cast<unsigned char>(c));
        return node;
    }

    bool fits(std::string_view piece) const {
        if (piece.size() <= options_.max_chars) return true;
        size_t chars = 0;
        for (char c : piece) chars += (static_cast<unsigned char>(c) & 0xC0) != 0x80;
        return chars <= options_.max_chars;
    }

    bool cover(std::string_view piece, std::vector<uint32_t>& out) const {
        for (size_t at = 0; at < piece.size();) {
            uint32_t node = at == 0 ? first_ : rest_, id = kNone;
            size_t found = at;
            for (size_t end = at; node != kNone && end < piece.size();) {
                node = trie_.child(node, static_cast<unsigned char>(piece[end++]));
                if (node == kNone) break;
                if (trie_.value(node) != kNone) {
                    id = trie_.value(node);
                    found = end;
                }
            }
            // llama.cpp's words carry their mark as a character of its own: it may be a token alone.
            if (id == kNone && at == 0 && first_ != kNone && !options_.first_prefix.empty() && trie_.value(first_) != kNone) {
                out.push_back(trie_.value(first_));
                if (!cover_rest(piece, out)) return false;
                return true;
            }
            if (id == kNone) return false;
            out.push_back(id);
            at = found;
        }
        return true;
    }

    bool cover_rest(std::string_view piece, std::vector<uint32_t>& out) const {
        for (size_t at = 0; at < piece.size();) {
            uint32_t node = rest_, id = kNone;
            size_t found = at;
            for (size_t end = at; node != kNone && end < piece.size();) {
                node = trie_.child(node, static_cast<unsigned char>(piece[end++]));
                if (node != kNone && trie_.value(node) != kNone) {
                    id = trie_.value(node);
                    found = end;
                }
            }
            if (id == kNone) return false;
            out.push_back(id);
            at = found;
        }
        return true;
    }

    WordPieceOptions options_;
    Trie trie_;
    uint32_t unk_ = kNone, first_ = kNone, rest_ = kNone;
};

class WordLevel : public Model {
  public:
    WordLevel(Vocab v, std::string unk_token) : unk_token_(std::move(unk_token)) {
        vocab = std::move(v);
        unk_ = vocab.find(unk_token_);
    }
    void tokenize(std::string_view piece, Scratch&, std::vector<uint32_t>& out) const override {
        uint32_t id = vocab.find(piece);
        if (id == kNone) id = unk_;
        if (id == kNone) throw TextError(ErrorKind::invalid_data, "model WordLevel: the unknown token \"" + unk_token_ + "\" is not in the vocabulary");
        out.push_back(id);
    }

  private:
    std::string unk_token_;
    uint32_t unk_;
};

}  // namespace

std::unique_ptr<Model> make_unigram(Vocab vocab, std::vector<double> scores, const UnigramOptions& options) {
    return std::make_unique<Unigram>(std::move(vocab), std::move(scores), options);
}
std::unique_ptr<Model> make_word_piece(Vocab vocab, const WordPieceOptions& options) { return std::make_unique<WordPiece>(std::move(vocab), options); }
std::unique_ptr<Model> make_word_level(Vocab vocab, std::string unk_token) { return std::make_unique<WordLevel>(std::move(vocab), std::move(unk_token)); }

}  // namespace orrery::text
