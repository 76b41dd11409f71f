#include "tables.hpp"

#include <algorithm>
#include <chrono>

#include "text.hpp"

namespace orrery::text {

uint64_t hash_seed() {
    static const uint64_t seed = [] {
        const int here = 0;
        const auto now = static_cast<uint64_t>(std::chrono::steady_clock::now().time_since_epoch().count());
        return mix(now ^ 0xA0761D6478BD642Full, reinterpret_cast<uintptr_t>(&here) | 1);
    }();
    return seed;
}

void TextMap::reserve(size_t keys, size_t bytes) {
    entries_.reserve(keys);
    text_.reserve(bytes);
    size_t slots = 16;
    while (slots < keys * 2) slots *= 2;
    if (slots > slots_.size()) grow(slots);
}

void TextMap::grow(size_t slots) {
    slots_.assign(slots, {0, kNone});
    filter_.reset(slots / 2);
    for (uint32_t i = 0; i < entries_.size(); ++i) {
        const uint64_t hash = entries_[i].hash;
        filter_.add(hash);
        size_t at = hash >> 20 & (slots - 1);
        while (slots_[at].entry != kNone) at = (at + 1) & (slots - 1);
        slots_[at] = {static_cast<uint32_t>(hash >> 32), i};
    }
}

size_t TextMap::set(std::string_view key, uint32_t value) {
    if (key.size() >= kNone) throw TextError(ErrorKind::limit, "a token of " + std::to_string(key.size()) + " bytes");
    if (entries_.size() * 2 >= slots_.size()) grow(slots_.empty() ? 16 : slots_.size() * 2);
    const uint64_t hash = hash_bytes(key, seed_);
    const auto high = static_cast<uint32_t>(hash >> 32);
    size_t at = hash >> 20 & (slots_.size() - 1);
    for (; slots_[at].entry != kNone; at = (at + 1) & (slots_.size() - 1)) {
        if (slots_[at].hash != high) continue;
        Entry& entry = entries_[slots_[at].entry];
        if (std::string_view(text_.data() + entry.at, entry.length) == key) {
            entry.value = value;
            return slots_[at].entry;
        }
    }
    slots_[at] = {high, static_cast<uint32_t>(entries_.size())};
    filter_.add(hash);
    entries_.push_back({hash, text_.size(), static_cast<uint32_t>(key.size()), value});
    text_.append(key);
    return entries_.size() - 1;
}

uint32_t TextMap::find(std::string_view key) const {
    if (slots_.empty()) return kNone;
    const uint64_t hash = hash_bytes(key, seed_);
    if (!filter_.may_have(hash)) return kNone;
    const auto high = static_cast<uint32_t>(hash >> 32);
    for (size_t at = hash >> 20 & (slots_.size() - 1); slots_[at].entry != kNone; at = (at + 1) & (slots_.size() - 1)) {
        if (slots_[at].hash != high) continue;
        const Entry& entry = entries_[slots_[at].entry];
        if (std::string_view(text_.data() + entry.at, entry.length) == key) return entry.value;
    }
    return kNone;
}

void PairMap::reserve(size_t pairs) {
    size_t slots = 16;
    while (slots < pairs * 2) slots *= 2;
    if (slots <= slots_.size()) return;
    std::vector<Slot> old(slots, Slot{0, {kNone, 0}});
    old.swap(slots_);
    mask_ = slots - 1;
    size_ = 0;
    filter_.reset(slots / 2);
    for (const Slot& slot : old)
        if (slot.value.rank != kNone) set(slot.pair, slot.value);
}

void PairMap::set(uint64_t pair, Value value, bool keep_first) {
    if (size_ * 2 >= slots_.size()) reserve(std::max<size_t>(8, slots_.size()));
    const uint64_t hash = hash_of(pair);
    for (size_t i = hash >> 20 & mask_;; i = (i + 1) & mask_) {
        if (slots_[i].value.rank == kNone) {
            slots_[i] = {pair, value};
            filter_.add(hash);
            ++size_;
            return;
        }
        if (slots_[i].pair == pair) {
            if (!keep_first) slots_[i].value = value;
            return;
        }
    }
}

void Trie::build(std::vector<Key> keys) {
    nodes_.clear();
    labels_.clear();
    std::fill(std::begin(root_), std::end(root_), kNone);
    std::erase_if(keys, [](const Key& key) { return key.text.empty(); });
    if (keys.empty()) return;
    std::stable_sort(keys.begin(), keys.end(), [](const Key& a, const Key& b) { return a.text < b.text; });
    struct Work {
        size_t begin, end, depth;
        uint32_t node;
    };
    nodes_.push_back({0, 0, kNone});
    std::vector<Work> queue{{0, keys.size(), 0, 0}};
    for (size_t next = 0; next < queue.size(); ++next) {
        Work work = queue[next];
        if (next >= (1u << 20)) {  // keep the queue itself from growing with the trie
            queue.erase(queue.begin(), queue.begin() + static_cast<std::ptrdiff_t>(next));
            next = 0;
        }
        while (work.begin < work.end && keys[work.begin].text.size() == work.depth) nodes_[work.node].value = keys[work.begin++].value;
        nodes_[work.node].first = static_cast<uint32_t>(nodes_.size() - 1);
        size_t begin = work.begin;
        while (begin < work.end) {
            const auto byte = static_cast<unsigned char>(keys[begin].text[work.depth]);
            size_t end = begin + 1;
            while (end < work.end && static_cast<unsigned char>(keys[end].text[work.depth]) == byte) ++end;
            const auto node = static_cast<uint32_t>(nodes_.size());
            if (node >= kNone - 1) throw TextError(ErrorKind::limit, "the vocabulary is too large for a trie");
            nodes_.push_back({0, 0, kNone});
            labels_.push_back(byte);
            nodes_[work.node].count++;
            if (work.node == 0) root_[byte] = node;
            queue.push_back({begin, end, work.depth + 1, node});
            begin = end;
        }
    }
}

WordCache::WordCache() { slots_.assign(kSlots, Slot{0, 0, 0, 0, 0}); }

const uint32_t* WordCache::find(std::string_view word, uint64_t hash, uint32_t& count) const {
    for (size_t i = hash & (kSlots - 1); slots_[i].length != 0; i = (i + 1) & (kSlots - 1)) {
        const Slot& slot = slots_[i];
        if (slot.hash == hash && slot.length == word.size() && std::memcmp(text_.data() + slot.text, word.data(), word.size()) == 0) {
            count = slot.count;
            return ids_.data() + slot.ids;
        }
    }
    return nullptr;
}

void WordCache::add(std::string_view word, uint64_t hash, const uint32_t* ids, uint32_t count) {
    if (word.empty() || word.size() > kMaxWord) return;
    if (words_ >= kMaxWords || text_.size() + word.size() > kMaxBytes || ids_.size() + count > kMaxIds) {
        std::fill(slots_.begin(), slots_.end(), Slot{0, 0, 0, 0, 0});
        text_.clear();
        ids_.clear();
        words_ = 0;
    }
    size_t i = hash & (kSlots - 1);
    while (slots_[i].length != 0) i = (i + 1) & (kSlots - 1);
    slots_[i] = {hash, static_cast<uint32_t>(text_.size()), static_cast<uint32_t>(ids_.size()), static_cast<uint32_t>(word.size()), count};
    text_.append(word);
    ids_.insert(ids_.end(), ids, ids + count);
    ++words_;
}

}  // namespace orrery::text
