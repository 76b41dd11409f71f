// Byte-pair encoding (Sennrich et al. 2016, arXiv:1508.07909) as Hugging Face tokenizers 0.23 runs it (models/bpe/): the pair of lowest rank merges
// first, the leftmost of equal ones. And SentencePiece's BPE as llama.cpp runs it, where scores rank the joined texts.
#include <algorithm>
#include <array>
#include <cstdio>
#include <cstring>

#include "byte_level.hpp"
#include "model.hpp"
#include "unicode.hpp"

namespace orrery::text {

void Vocab::finish() {
    dense_.clear();
    sparse_.clear();
    uint32_t highest = 0;
    for (const auto& [id, index] : ids_) highest = std::max(highest, id);
    limit_ = ids_.empty() ? 0 : highest + 1;
    const bool dense = limit_ <= ids_.size() * 4 + (1u << 20);
    if (dense) dense_.assign(limit_, kNone);
    for (const auto& [id, index] : ids_) {
        if (dense) dense_[id] = index;
        else sparse_[id] = index;
    }
    count_ = ids_.size();
    ids_ = {};
}

std::optional<std::string_view> Vocab::text(uint32_t id) const {
    uint32_t index = kNone;
    if (id < dense_.size()) {
        index = dense_[id];
    } else if (const auto at = sparse_.find(id); at != sparse_.end()) {
        index = at->second;
    }
    if (index == kNone) return std::nullopt;
    return map_.key(index);
}

std::string byte_token(unsigned char byte) {
    char text[8];
    std::snprintf(text, sizeof text, "<0x%02X>", byte);
    return text;
}

namespace {

constexpr uint64_t pair_of(uint32_t left, uint32_t right) { return static_cast<uint64_t>(left) << 32 | right; }

// Words up to this many symbols merge by scanning, longer ones through a heap.
constexpr size_t kScan = 40;

struct HeapOrder {
    bool operator()(const Scratch::Candidate& a, const Scratch::Candidate& b) const { return a.order > b.order || (a.order == b.order && a.left > b.left); }
};

Scratch::Candidate pop_first(std::vector<Scratch::Candidate>& heap) {
    const Scratch::Candidate first = heap.front();
    std::pop_heap(heap.begin(), heap.end(), HeapOrder());
    heap.pop_back();
    return first;
}

// Takes the symbol after `left` into it. consider(i) adds the pair of i and its next one to the end of the heap, or gives false.
template <class Consider>
void take_next(Scratch& scratch, uint32_t left, Consider consider) {
    Scratch::Symbol& symbol = scratch.symbols[left];
    Scratch::Symbol& taken = scratch.symbols[symbol.next];
    taken.length = 0;
    symbol.next = taken.next;
    if (symbol.next != kNone) scratch.symbols[symbol.next].previous = left;
    if (symbol.previous != kNone && consider(symbol.previous)) std::push_heap(scratch.heap.begin(), scratch.heap.end(), HeapOrder());
    if (symbol.next != kNone && consider(left)) std::push_heap(scratch.heap.begin(), scratch.heap.end(), HeapOrder());
}

// Pairs of neighbouring characters that some token or merge joins. Where a pair is not among them, a text may be cut between its two
// characters and its parts encoded alone: no merge ever crosses.
class JoinedPairs {
  public:
    // token: the id of the two characters together, where they are a token.
    void add(char32_t left, char32_t right, uint32_t token = kNone) { pairs_.set(pair_of(left, right), {0, token}, token == kNone); }
    bool joined(char32_t left, char32_t right) const { return pairs_.find(pair_of(left, right)) != nullptr; }
    uint32_t token(char32_t left, char32_t right) const {
        const auto* found = pairs_.find(pair_of(left, right));
        return found ? found->id : kNone;
    }

  private:
    PairMap pairs_;
};

char32_t first_char(std::string_view s) {
    const char* p = s.data();
    return utf8_next(p);
}

char32_t last_char(std::string_view s) {
    const char* p = s.data() + s.size() - 1;
    while (p > s.data() && (static_cast<unsigned char>(*p) & 0xC0) == 0x80) --p;
    return utf8_next(p);
}

class Bpe : public Model {
  public:
    Bpe(Vocab v, const std::vector<std::pair<std::string_view, std::string_view>>& merges, const BpeOptions& options) : options_(options) {
        vocab = std::move(v);
        merges_.reserve(merges.size());
        std::string joined;
        uint32_t rank = 0;
        for (const auto& [left, right] : merges) {
            const uint32_t order = rank++;
            const uint32_t left_id = find_merged(left), right_id = find_merged(right);
            if (right.size() < options.prefix.size()) throw TextError(ErrorKind::invalid_data, "model BPE: merge " + std::to_string(order) + " has a part shorter than the prefix");
            joined.assign(left);
            joined.append(right.substr(options.prefix.size()));
            const uint32_t id = left_id == kNone || right_id == kNone ? kNone : find_merged(joined);
            if (id == kNone) continue;
            merges_.set(pair_of(left_id, right_id), {order, id}, options.first_merge_counts);
            if (left.empty() || right.empty()) {
                cut_ = false;
            } else {
                pairs_.add(last_char(left), first_char(right));
            }
        }
        cut_ = cut_ && options.prefix.empty() && options.suffix.empty() && !options.ignore_merges;
        unk_ = options.has_unk ? vocab.find(options.unk_token) : kNone;
        for (unsigned b = 0; b < 256; ++b) fallback_[b] = vocab.find(byte_token(static_cast<unsigned char>(b)));
    }

    bool accept_bytes() override {
        if (!options_.prefix.empty() || !options_.suffix.empty()) return false;
        std::string text;
        for (unsigned b = 0; b < 256; ++b) {
            text.clear();
            utf8_append(text, byte_to_char(static_cast<unsigned char>(b)));
            byte_ids_[b] = vocab.find(text);
            if (byte_ids_[b] == kNone) return false;
        }
        if (options_.ignore_merges) {
            whole_.reserve(vocab.size(), vocab.size() * 6);
            for (size_t i = 0; i < vocab.size(); ++i)
                if (byte_level_bytes(vocab.token(i), text)) whole_.set(text, vocab.id(i));
        }
        return bytes_ = true;
    }

    void tokenize(std::string_view piece, Scratch& scratch, std::vector<uint32_t>& out) const override {
        if (bytes_ || !cut_ || piece.size() <= 16) return word(piece, scratch, out);
        const char *p = piece.data(), *end = p + piece.size(), *start = p, *previous = p;
        for (char32_t before = utf8_next(p); p < end;) {
            const char* at = p;
            const char32_t c = utf8_next(p);
            // Unknown characters may fuse over a cut, so both sides must be tokens of their own.
            if (!pairs_.joined(before, c) && is_known(previous, at) && is_known(at, p)) {
                word({start, static_cast<size_t>(at - start)}, scratch, out);
                start = at;
            }
            previous = at;
            before = c;
        }
        word({start, static_cast<size_t>(end - start)}, scratch, out);
    }

  private:
    uint32_t find_merged(std::string_view token) const {
        const uint32_t id = vocab.find(token);
        if (id == kNone && !options_.skip_unknown_merges)
            throw TextError(ErrorKind::invalid_data, "model BPE: the merges use the token \"" + std::string(token) + "\", which is not in the vocabulary");
        return id;
    }
    bool is_known(const char* from, const char* to) const { return vocab.find({from, static_cast<size_t>(to - from)}) != kNone; }

    void word(std::string_view piece, Scratch& scratch, std::vector<uint32_t>& out) const {
        scratch.cache.append(piece, out, [&] { encode_word(piece, scratch, out); });
    }

    void encode_word(std::string_view piece, Scratch& scratch, std::vector<uint32_t>& out) const {
        if (options_.ignore_merges) {
            const uint32_t id = bytes_ ? whole_.find(piece) : vocab.find(piece);
            if (id != kNone) {
                out.push_back(id);
                return;
            }
        }
        auto& ids = scratch.ids;
        ids.clear();
        if (bytes_) {
            for (char c : piece) ids.push_back(byte_ids_[static_cast<unsigned char>(c)]);
        } else {
            split(piece, scratch);
        }
        if (ids.size() <= kScan) merge_scanning(ids, scratch.ranks);
        else merge_heap(scratch);
        out.insert(out.end(), ids.begin(), ids.end());
    }

    // A word's characters as symbols. An unknown character waits until a known one comes: so unknown ones may fuse, and a byte fallback in
    // between comes first, as in the original.
    void split(std::string_view piece, Scratch& scratch) const {
        auto& ids = scratch.ids;
        bool pending = false;
        const char *p = piece.data(), *end = p + piece.size();
        while (p < end) {
            const char* start = p;
            utf8_next(p);
            std::string_view s(start, static_cast<size_t>(p - start));
            if (!options_.prefix.empty() || !options_.suffix.empty()) {
                scratch.text.clear();
                if (start != piece.data()) scratch.text = options_.prefix;
                scratch.text.append(s);
                if (p == end) scratch.text += options_.suffix;
                s = scratch.text;
            }
            const uint32_t id = vocab.find(s);
            if (id != kNone) {
                if (pending) ids.push_back(unk_);
                pending = false;
                ids.push_back(id);
                continue;
            }
            if (options_.byte_fallback && std::all_of(s.begin(), s.end(), [&](char b) { return fallback_[static_cast<unsigned char>(b)] != kNone; })) {
                for (char b : s) ids.push_back(fallback_[static_cast<unsigned char>(b)]);
                continue;
            }
            if (!options_.has_unk) continue;
            if (unk_ == kNone) throw TextError(ErrorKind::invalid_data, "model BPE: the unknown token \"" + options_.unk_token + "\" is not in the vocabulary");
            if (pending && !options_.fuse_unk) ids.push_back(unk_);
            pending = true;
        }
        if (pending) ids.push_back(unk_);
    }

    void merge_scanning(std::vector<uint32_t>& ids, std::vector<uint32_t>& ranks) const {
        size_t n = ids.size();
        if (n < 2) return;
        ranks.resize(n - 1);
        const auto rank = [&](size_t i) {
            const auto* m = merges_.find(pair_of(ids[i], ids[i + 1]));
            return m ? m->rank : kNone;
        };
        for (size_t i = 0; i + 1 < n; ++i) ranks[i] = rank(i);
        while (n > 1) {
            size_t best = 0;
            for (size_t i = 1; i + 1 < n; ++i)
                if (ranks[i] < ranks[best]) best = i;
            if (ranks[best] == kNone) break;
            ids[best] = merges_.find(pair_of(ids[best], ids[best + 1]))->id;
            for (size_t i = best + 1; i + 1 < n; ++i) ids[i] = ids[i + 1];
            for (size_t i = best; i + 2 < n; ++i) ranks[i] = ranks[i + 1];
            --n;
            if (best + 1 < n) ranks[best] = rank(best);
            if (best > 0) ranks[best - 1] = rank(best - 1);
        }
        ids.resize(n);
    }

    void merge_heap(Scratch& scratch) const {
        auto& ids = scratch.ids;
        auto& symbols = scratch.symbols;
        auto& heap = scratch.heap;
        const auto n = static_cast<uint32_t>(ids.size());
        symbols.resize(n);
        heap.clear();
        for (uint32_t i = 0; i < n; ++i) symbols[i] = {ids[i], i == 0 ? kNone : i - 1, i + 1 < n ? i + 1 : kNone, 1};
        const auto consider = [&](uint32_t left) {
            const auto* m = merges_.find(pair_of(symbols[left].id, symbols[symbols[left].next].id));
            if (!m) return false;
            heap.push_back({m->rank, left, m->id});
            return true;
        };
        for (uint32_t i = 0; i + 1 < n; ++i) consider(i);
        std::make_heap(heap.begin(), heap.end(), HeapOrder());
        while (!heap.empty()) {
            const Scratch::Candidate top = pop_first(heap);
            Scratch::Symbol& left = symbols[top.left];
            if (left.length == 0 || left.next == kNone) continue;
            const auto* m = merges_.find(pair_of(left.id, symbols[left.next].id));
            if (!m || m->id != top.size) continue;  // expired
            left.id = top.size;
            take_next(scratch, top.left, consider);
        }
        ids.clear();
        for (const auto& symbol : symbols)
            if (symbol.length != 0) ids.push_back(symbol.id);
    }

    BpeOptions options_;
    PairMap merges_;
    JoinedPairs pairs_;
    TextMap whole_;  // tokens as raw bytes, for ignore_merges
    std::array<uint32_t, 256> fallback_{}, byte_ids_{};
    uint32_t unk_ = kNone;
    bool bytes_ = false, cut_ = true;
};

class ScoredBpe : public Model {
  public:
    ScoredBpe(Vocab v, std::vector<float> scores, std::optional<uint32_t> unk) : scores_(std::move(scores)), unk_(unk.value_or(kNone)) {
        vocab = std::move(v);
        for (size_t i = 0; i < vocab.size(); ++i) {
            const std::string_view token = vocab.token(i);
            const char *p = token.data(), *end = p + token.size();
            if (p == end) continue;
            longest_ = std::max(longest_, token.size());
            const char* start = p;
            for (char32_t before = utf8_next(p); p < end;) {
                const bool second = p == start + utf8_length(static_cast<unsigned char>(*start));
                const char32_t c = utf8_next(p);
                pairs_.add(before, c, second && p == end ? vocab.id(i) : kNone);
                before = c;
            }
        }
        for (unsigned b = 0; b < 256; ++b) {
            const char one = static_cast<char>(b);
            bytes_[b] = vocab.find(byte_token(static_cast<unsigned char>(b)));
            if (bytes_[b] == kNone) bytes_[b] = vocab.find({&one, 1});
            if (bytes_[b] == kNone) bytes_[b] = unk_;
        }
    }

    void tokenize(std::string_view piece, Scratch& scratch, std::vector<uint32_t>& out) const override {
        const char *p = piece.data(), *end = p + piece.size(), *start = p;
        for (char32_t before = utf8_next(p); p < end;) {
            const char* at = p;
            const char32_t c = utf8_next(p);
            if (!pairs_.joined(before, c)) {
                word({start, static_cast<size_t>(at - start)}, scratch, out);
                start = at;
            }
            before = c;
        }
        word({start, static_cast<size_t>(end - start)}, scratch, out);
    }

  private:
    void word(std::string_view piece, Scratch& scratch, std::vector<uint32_t>& out) const {
        scratch.cache.append(piece, out, [&] { merge(piece, scratch, out); });
    }

    // Orders scores, highest first, as unsigned numbers, lowest first.
    static uint64_t order(float score) {
        uint32_t bits;
        if (score == 0) score = 0;  // -0 and 0 are equal
        std::memcpy(&bits, &score, 4);
        return ~(bits & 0x80000000u ? ~bits : bits | 0x80000000u);
    }

    void merge(std::string_view piece, Scratch& scratch, std::vector<uint32_t>& out) const {
        auto& symbols = scratch.symbols;
        auto& starts = scratch.starts;
        auto& heap = scratch.heap;
        symbols.clear();
        starts.clear();
        heap.clear();
        const char *p = piece.data(), *end = p + piece.size();
        for (char32_t before = 0; p < end;) {
            const char* at = p;
            const char32_t c = utf8_next(p);
            const auto i = static_cast<uint32_t>(symbols.size());
            const auto n = static_cast<uint32_t>(p - at);
            symbols.push_back({0, i == 0 ? kNone : i - 1, i + 1, n});
            starts.push_back(static_cast<uint32_t>(at - piece.data()));
            const uint32_t id = i == 0 ? kNone : pairs_.token(before, c);
            if (id != kNone && id < scores_.size()) heap.push_back({order(scores_[id]), i - 1, n + symbols[i - 1].length});
            before = c;
        }
        symbols.back().next = kNone;
        const auto consider = [&](uint32_t left) {
            const uint32_t size = symbols[left].length + symbols[symbols[left].next].length;
            const uint32_t id = size <= longest_ ? vocab.find(piece.substr(starts[left], size)) : kNone;
            if (id == kNone || id >= scores_.size()) return false;
            heap.push_back({order(scores_[id]), left, size});
            return true;
        };
        std::make_heap(heap.begin(), heap.end(), HeapOrder());
        while (!heap.empty()) {
            const Scratch::Candidate top = pop_first(heap);
            auto& left = symbols[top.left];
            if (left.length == 0 || left.next == kNone || left.length + symbols[left.next].length != top.size) continue;  // expired
            left.length = top.size;
            take_next(scratch, top.left, consider);
        }
        for (size_t i = 0; i < symbols.size(); ++i) {
            if (symbols[i].length == 0) continue;
            const std::string_view text = piece.substr(starts[i], symbols[i].length);
            const uint32_t id = vocab.find(text);
            if (id != kNone) {
                out.push_back(id);
                continue;
            }
            for (char b : text) {
                const uint32_t byte_id = bytes_[static_cast<unsigned char>(b)];
                if (byte_id == kNone) throw TextError(ErrorKind::invalid_data, "tokenizer.ggml.tokens: no token for the byte " + byte_token(static_cast<unsigned char>(b)) + " and no unknown token");
                out.push_back(byte_id);
            }
        }
    }

    std::vector<float> scores_;
    size_t longest_ = 0;
    JoinedPairs pairs_;
    std::array<uint32_t, 256> bytes_{};
    uint32_t unk_;
};

}  // namespace

std::unique_ptr<Model> make_bpe(Vocab vocab, const std::vector<std::pair<std::string_view, std::string_view>>& merges, const BpeOptions& options) {
    return std::make_unique<Bpe>(std::move(vocab), merges, options);
}

std::unique_ptr<Model> make_scored_bpe(Vocab vocab, std::vector<float> scores, std::optional<uint32_t> unk) {
    return std::make_unique<ScoredBpe>(std::move(vocab), std::move(scores), unk);
}

}  // namespace orrery::text
