#include "sampling/sampling.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <limits>

namespace orrery::sampling {
namespace {

constexpr uint32_t kInfinity = 0x7f800000u, kSign = 0x80000000u;
constexpr uint64_t kTopKey = kInfinity | kSign;  // of +inf

// ln(2)^k / k! * 2^32, k = 1 … 9: the series of 2^-f
constexpr uint32_t kSeries[] = {2977044472u, 1031764991u, 238388332u, 41309550u, 5726720u, 661577u, 65510u, 5676u, 437u};
constexpr uint32_t kLog2e = 3098164009u;  // log2(e) * 2^31

uint32_t bits_of(float v) { return std::bit_cast<uint32_t>(v); }
bool is_nan(uint32_t bits) { return (bits & ~kSign) > kInfinity; }
uint64_t high_of(uint64_t a, uint64_t b) { return (a * b) >> 32; }  // of two 32-bit numbers

bool better(const Candidate& a, const Candidate& b) { return a.key > b.key || (a.key == b.key && a.id < b.id); }

struct Best {
    uint32_t key;
    int64_t id;  // -1: none
};

// The largest of a stretch by float compares, which compilers make vector code of; NaN is passed over.
float largest(const float* x, int64_t n) {
    constexpr int kLanes = 16;
    float lane[kLanes];
    std::fill(lane, lane + kLanes, -std::numeric_limits<float>::infinity());
    int64_t i = 0;
    for (; i + kLanes <= n; i += kLanes)
        for (int k = 0; k < kLanes; k++) lane[k] = x[i + k] > lane[k] ? x[i + k] : lane[k];
    for (; i < n; i++) lane[0] = x[i] > lane[0] ? x[i] : lane[0];
    float most = lane[0];
    for (int k = 1; k < kLanes; k++) most = lane[k] > most ? lane[k] : most;
    return most;
}
// Whether float compares with it are those of keys, even where subnormal numbers count as 0.
bool compares(float v) { return std::isnormal(v); }

Best find_best(const float* logits, int64_t n) {
    if (const float most = largest(logits, n); compares(most)) return {key_of(most), std::find(logits, logits + n, most) - logits};
    Best best{0, -1};
    for (int64_t id = 0; id < n; id++)
        if (const uint32_t key = key_of(logits[id]); key > best.key) best = {key, id};
    return best;
}

// A heap with the worst of the k best on top: one pass, and most stretches cost their compares alone.
int64_t keep_top_k(const float* logits, int64_t n, int64_t k, Candidate* kept) {
    constexpr int64_t kStretch = 64;
    uint32_t worst = 0;
    int64_t count = 0;
    for (int64_t at = 0; at < n; at += kStretch) {
        const int64_t end = std::min(n, at + kStretch);
        if (worst && compares(logits[kept[0].id]) && !(largest(logits + at, end - at) > logits[kept[0].id])) continue;
        for (int64_t id = at; id < end; id++) {
            const uint32_t key = key_of(logits[id]);
            if (key <= worst) continue;  // an equal one has the larger id
            kept[count++] = {key, static_cast<int32_t>(id), 0};
            std::push_heap(kept, kept + count, better);
            if (count > k) std::pop_heap(kept, kept + count--, better);
            if (count == k) worst = kept[0].key;
        }
    }
    return count;
}

int64_t keep_all(const float* logits, int64_t n, Candidate* kept) {
    int64_t count = 0;
    for (int64_t id = 0; id < n; id++)
        if (const uint32_t key = key_of(logits[id]); key > 0) kept[count++] = {key, static_cast<int32_t>(id), 0};
    return count;
}

uint64_t sum_of(const Candidate* kept, int64_t count) {
    uint64_t sum = 0;
    for (int64_t i = 0; i < count; i++) sum += kept[i].weight;
    return sum;
}

// Sorts no more than is needed: blocks of the best, each eight times the one before.
int64_t keep_top_p(Candidate* kept, int64_t count, uint64_t share) {
    const uint64_t wanted = wanted_of(share, sum_of(kept, count));
    uint64_t sum = 0;
    int64_t sorted = 0;
    for (int64_t block = 256; sorted < count; block *= 8) {
        const int64_t end = std::min(count, sorted + block);
        std::partial_sort(kept + sorted, kept + end, kept + count, better);
        for (; sorted < end; sorted++) {
            if (sorted > 0 && sum >= wanted) return sorted;
            sum += kept[sorted].weight;
        }
    }
    return count;
}

}  // namespace

uint32_t key_of(float logit) {
    uint32_t bits = bits_of(logit);
    const bool none = is_nan(bits) || bits == (kInfinity | kSign);
    bits = bits == kSign ? 0 : bits;  // -0 equals 0
    const uint32_t key = bits & kSign ? ~bits : bits | kSign;
    return none ? 0 : key;
}

bool draws(float temperature) {
    const uint32_t bits = bits_of(temperature);
    return bits > 0 && bits <= kInfinity;
}

// In integers, since devices may round a quotient otherwise; cut to 24 bits. Temperatures count as 2^-64 … 2^64.
float rate_of(float temperature) {
    const uint32_t bits = std::clamp(bits_of(temperature), 63u << 23, 191u << 23);
    const uint64_t mantissa = (bits & 0x7fffffu) | 0x800000u;
    uint64_t quotient = (static_cast<uint64_t>(kLog2e) << 16) / mantissa;
    int32_t power = -24 - (static_cast<int32_t>(bits >> 23) - 127);
    if (quotient >= 0x1000000u) quotient >>= 1, power++;
    return std::bit_cast<float>((static_cast<uint32_t>(power + 150) << 23) | (static_cast<uint32_t>(quotient) & 0x7fffffu));
}

uint64_t weight_of(float top, float logit, float rate) {
    const float distance = top - logit;
    const float y = distance * rate;
    if (!(y < 41.0f)) return 0;
    const auto fixed = static_cast<uint32_t>(y * 16777216.0f);
    const uint32_t fraction = fixed << 8;
    uint64_t h = kSeries[8];
    for (int k = 7; k >= 0; k--) h = kSeries[k] - high_of(fraction, h);
    return (((uint64_t{1} << 32) - high_of(fraction, h)) << 8) >> (fixed >> 24);
}

uint64_t share_of(float top_p) {
    const uint32_t bits = bits_of(top_p);
    if (bits & kSign) return is_nan(bits) ? uint64_t{1} << 32 : 0;
    return bits >= 0x3f800000u ? uint64_t{1} << 32 : static_cast<uint64_t>(top_p * 4294967296.0f);
}

uint64_t wanted_of(uint64_t share, uint64_t sum) {
    const uint64_t low = share * (sum & 0xffffffffu);
    return share * (sum >> 32) + (low >> 32) + ((low & 0xffffffffu) != 0);
}

uint64_t floor_of(float min_p) {
    const uint32_t bits = bits_of(min_p);
    if (bits == 0 || bits > kInfinity) return 0;
    return bits >= 0x3f800000u ? uint64_t{1} << 40 : static_cast<uint64_t>(min_p * 1099511627776.0f);
}

uint64_t target_of(uint64_t random, uint64_t sum) {
    const uint64_t rl = random & 0xffffffffu, rh = random >> 32, sl = sum & 0xffffffffu, sh = sum >> 32;
    const uint64_t middle = rh * sl + high_of(rl, sl), other = rl * sh + (middle & 0xffffffffu);
    return rh * sh + (middle >> 32) + (other >> 32);
}

int64_t count_of(float top_k, int64_t vocabulary) { return top_k >= 1.0f && top_k < static_cast<float>(vocabulary) ? static_cast<int64_t>(top_k) : 0; }

int64_t room_for(const Parameters& p, int64_t vocabulary) {
    if (!draws(p.temperature)) return 0;
    const int64_t k = count_of(p.top_k, vocabulary);
    return k ? k + 1 : vocabulary;
}

int32_t choose(const float* logits, int64_t vocabulary, const Parameters& p, uint64_t random, Candidate* room) {
    const Best best = find_best(logits, vocabulary);
    if (best.id < 0 || !draws(p.temperature) || best.key == kTopKey) return static_cast<int32_t>(best.id);
    const int64_t k = count_of(p.top_k, vocabulary);
    int64_t count = k ? keep_top_k(logits, vocabulary, k, room) : keep_all(logits, vocabulary, room);
    const float top = logits[best.id], rate = rate_of(p.temperature);
    for (int64_t i = 0; i < count; i++) room[i].weight = weight_of(top, logits[room[i].id], rate);
    if (const uint64_t share = share_of(p.top_p); share < uint64_t{1} << 32) count = keep_top_p(room, count, share);
    if (const uint64_t least = floor_of(p.min_p)) count = std::remove_if(room, room + count, [&](const Candidate& c) { return c.weight < least; }) - room;
    const auto by_id = [](const Candidate& a, const Candidate& b) { return a.id < b.id; };
    if (!std::is_sorted(room, room + count, by_id)) std::sort(room, room + count, by_id);
    const uint64_t target = target_of(random, sum_of(room, count));
    uint64_t running = 0;
    for (int64_t i = 0; i < count; i++)
        if ((running += room[i].weight) > target) return room[i].id;
    return static_cast<int32_t>(best.id);  // not reached: the sum exceeds the target
}

}  // namespace orrery::sampling
