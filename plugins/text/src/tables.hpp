// Hash tables and tries over token texts, made for many short keys.
#pragma once

#include <cstdint>
#include <cstring>
#include <string>
#include <string_view>
#include <vector>

namespace orrery::text {

constexpr uint32_t kNone = 0xFFFFFFFFu;

inline uint64_t mix(uint64_t a, uint64_t b) {
    const unsigned __int128 r = static_cast<unsigned __int128>(a) * b;
    return static_cast<uint64_t>(r) ^ static_cast<uint64_t>(r >> 64);
}

// Differs from process to process, so that no file can be made of colliding keys. Results do not depend on it.
uint64_t hash_seed();

inline uint64_t hash_bytes(std::string_view s, uint64_t seed) {
    constexpr uint64_t k0 = 0x9E3779B97F4A7C15ull, k1 = 0xD6E8FEB86659FD93ull;
    const char* p = s.data();
    size_t n = s.size();
    uint64_t h = seed ^ mix(n ^ k0, k1);
    const auto read = [](const char* at, size_t count) {
        uint64_t w = 0;
        std::memcpy(&w, at, count);
        return w;
    };
    for (; n >= 8; n -= 8, p += 8) h = mix(h ^ read(p, 8), k0);
    if (n) {
        uint64_t w = 0;  // 1 to 7 bytes without a variable-length copy
        if (n >= 4) w = read(p, 4) | read(p + n - 4, 4) << 32;
        else w = static_cast<unsigned char>(p[0]) | static_cast<uint64_t>(static_cast<unsigned char>(p[n / 2])) << 8 | static_cast<uint64_t>(static_cast<unsigned char>(p[n - 1])) << 16;
        h = mix(h ^ w, k1);
    }
    return mix(h, k1);
}

// Answers most questions for absent keys from a few bytes, which stay in the cache where the table itself does not.
class Filter {
  public:
    void reset(size_t keys) {
        size_t bits = 1024;
        while (bits < keys * 12) bits *= 2;
        words_.assign(bits / 64, 0);
        mask_ = bits / 64 - 1;
    }
    void add(uint64_t hash) { words_[hash >> 6 & mask_] |= bits(hash); }
    bool may_have(uint64_t hash) const { return (words_[hash >> 6 & mask_] & bits(hash)) == bits(hash); }

  private:
    static uint64_t bits(uint64_t hash) { return 1ull << (hash & 63) | 1ull << (hash >> 58); }
    std::vector<uint64_t> words_;
    size_t mask_ = 0;
};

// Token text to number. Keys are copied.
class TextMap {
  public:
    void reserve(size_t keys, size_t bytes);
    // A later value for the same key replaces the earlier one. Returns the key's index.
    size_t set(std::string_view key, uint32_t value);
    uint32_t find(std::string_view key) const;  // kNone: absent
    size_t size() const { return entries_.size(); }
    std::string_view key(size_t index) const { return {text_.data() + entries_[index].at, entries_[index].length}; }
    uint32_t value(size_t index) const { return entries_[index].value; }

  private:
    struct Entry {
        uint64_t hash;
        size_t at;
        uint32_t length, value;
    };
    struct Slot {
        uint32_t hash, entry;  // entry kNone: empty
    };
    void grow(size_t slots);
    std::vector<Entry> entries_;
    std::vector<Slot> slots_;
    Filter filter_;
    std::string text_;
    uint64_t seed_ = hash_seed();
};

// A pair of 32-bit numbers to a value of two.
class PairMap {
  public:
    struct Value {
        uint32_t rank, id;
    };
    void reserve(size_t pairs);
    void set(uint64_t pair, Value value, bool keep_first = false);
    const Value* find(uint64_t pair) const {
        if (slots_.empty()) return nullptr;
        const uint64_t hash = hash_of(pair);
        if (!filter_.may_have(hash)) return nullptr;
        for (size_t i = hash >> 20 & mask_;; i = (i + 1) & mask_) {
            if (slots_[i].value.rank == kNone) return nullptr;
            if (slots_[i].pair == pair) return &slots_[i].value;
        }
    }
    size_t size() const { return size_; }

  private:
    struct Slot {
        uint64_t pair;
        Value value;  // rank kNone: empty
    };
    uint64_t hash_of(uint64_t pair) const { return mix(pair ^ seed_, 0x9E3779B97F4A7C15ull); }
    std::vector<Slot> slots_;
    Filter filter_;
    size_t mask_ = 0, size_ = 0;
    uint64_t seed_ = hash_seed();
};

// Keys by their bytes, for prefix walks.
class Trie {
  public:
    struct Key {
        std::string_view text;
        uint32_t value;
    };
    // Of equal keys the last one counts. An empty key is left out.
    void build(std::vector<Key> keys);
    bool empty() const { return nodes_.empty(); }
    uint32_t root() const { return 0; }
    // kNone: no such child.
    uint32_t child(uint32_t node, unsigned char byte) const {
        if (node == 0) return root_[byte];
        const Node& n = nodes_[node];
        const uint8_t* labels = labels_.data() + n.first;
        if (n.count <= 8) {
            for (uint32_t i = 0; i < n.count; ++i)
                if (labels[i] == byte) return n.first + i + 1;
            return kNone;
        }
        uint32_t low = 0, high = n.count;
        while (low < high) {
            const uint32_t middle = (low + high) / 2;
            if (labels[middle] < byte) low = middle + 1;
            else high = middle;
        }
        return low < n.count && labels[low] == byte ? n.first + low + 1 : kNone;
    }
    uint32_t value(uint32_t node) const { return nodes_[node].value; }
    bool starts(unsigned char byte) const { return !nodes_.empty() && root_[byte] != kNone; }

  private:
    struct Node {
        uint32_t first, count, value;  // children are the nodes first + 1 … first + count, in byte order
    };
    std::vector<Node> nodes_;
    std::vector<uint8_t> labels_;  // of node i + 1
    uint32_t root_[256];
};

// Ids of words seen before, bounded: it starts over when full.
class WordCache {
  public:
    static constexpr size_t kMaxWord = 64;
    WordCache();
    // The ids, or nullptr.
    const uint32_t* find(std::string_view word, uint64_t hash, uint32_t& count) const;
    void add(std::string_view word, uint64_t hash, const uint32_t* ids, uint32_t count);
    uint64_t hash(std::string_view word) const { return hash_bytes(word, seed_); }

    // Appends the ids of a word to out, by encode() where it is new or too long to keep.
    template <class Encode>
    void append(std::string_view word, std::vector<uint32_t>& out, Encode encode) {
        if (word.size() > kMaxWord) return encode();
        const uint64_t key = hash(word);
        uint32_t count;
        if (const uint32_t* ids = find(word, key, count)) {
            out.insert(out.end(), ids, ids + count);
            return;
        }
        const size_t begin = out.size();
        encode();
        add(word, key, out.data() + begin, static_cast<uint32_t>(out.size() - begin));
    }

  private:
    static constexpr size_t kSlots = 1u << 16, kMaxWords = kSlots / 2, kMaxIds = 1u << 18, kMaxBytes = 1u << 20;
    struct Slot {
        uint64_t hash;
        uint32_t text, ids;
        uint32_t length, count;  // length 0: empty
    };
    std::vector<Slot> slots_;
    std::string text_;
    std::vector<uint32_t> ids_;
    size_t words_ = 0;
    uint64_t seed_ = hash_seed();
};

}  // namespace orrery::text
