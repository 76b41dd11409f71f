#include "sampler.hpp"

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <limits>

namespace orrery::text_generation {

Sampler::Sampler(const SamplerOptions& options, int64_t vocabulary, uint64_t tokens)
    : options_(options), vocabulary_(vocabulary), random_(options.seed), seen_(vocabulary), count_(vocabulary) {
    seen_ids_.reserve(std::min(tokens, static_cast<uint64_t>(vocabulary)));
    if (options.temperature > 0) kept_.reserve(options.top_k ? std::min(options.top_k, vocabulary) + 1 : vocabulary);
}

void Sampler::accept(int32_t id, bool generated) {
    if (id < 0 || id >= vocabulary_) return;
    if (!seen_[id]) seen_ids_.push_back(id);
    seen_[id] = 1;
    count_[id] += generated;
}

void Sampler::penalise(float* logits) const {
    for (const auto& [id, bias] : options_.logit_bias) logits[id] += bias;
    const double p = options_.repetition_penalty, a = options_.presence_penalty, f = options_.frequency_penalty;
    if (p == 1 && a == 0 && f == 0) return;
    for (const int32_t id : seen_ids_) {
        double l = logits[id];
        l = l < 0 ? l * p : l / p;
        if (count_[id]) l -= a + f * count_[id];
        logits[id] = static_cast<float>(l);
    }
}

// A heap with the worst of the k best on top: one pass, and most logits cost one comparison.
void Sampler::keep_top_k(const float* logits) {
    const size_t k = static_cast<size_t>(options_.top_k);
    float worst = -std::numeric_limits<float>::infinity();
    for (int64_t id = 0; id < vocabulary_; id++) {
        if (!(logits[id] > worst)) continue;  // an equal one has the larger id
        kept_.push_back({logits[id], static_cast<int32_t>(id), 0});
        std::push_heap(kept_.begin(), kept_.end(), better);
        if (kept_.size() > k) {
            std::pop_heap(kept_.begin(), kept_.end(), better);
            kept_.pop_back();
        }
        if (kept_.size() == k) worst = kept_.front().logit;
    }
}

void Sampler::keep_all(const float* logits) {
    for (int64_t id = 0; id < vocabulary_; id++)
        if (logits[id] > -std::numeric_limits<float>::infinity()) kept_.push_back({logits[id], static_cast<int32_t>(id), 0});
}

// Sorts no more than is needed: blocks of the best, each eight times the one before.
void Sampler::keep_top_p() {
    double total = 0;
    for (const Candidate& c : kept_) total += c.weight;
    const double wanted = options_.top_p * total;
    double sum = 0;
    size_t sorted = 0;
    for (size_t block = 256; sorted < kept_.size(); block *= 8) {
        const size_t end = std::min(kept_.size(), sorted + block);
        const auto from = kept_.begin() + static_cast<ptrdiff_t>(sorted), to = kept_.begin() + static_cast<ptrdiff_t>(end);
        std::partial_sort(from, to, kept_.end(), better);
        for (; sorted < end; sorted++) {
            if (sorted > 0 && sum >= wanted) {
                kept_.resize(sorted);
                return;
            }
            sum += kept_[sorted].weight;
        }
    }
}

int32_t Sampler::draw() {
    std::sort(kept_.begin(), kept_.end(), [](const Candidate& a, const Candidate& b) { return a.id < b.id; });
    double sum = 0;
    for (const Candidate& c : kept_) sum += c.weight;
    const double target = random_.uniform() * sum;
    double running = 0;
    int32_t last = kept_.front().id;
    for (const Candidate& c : kept_) {
        running += c.weight;
        if (c.weight > 0) last = c.id;
        if (running > target) return c.id;
    }
    return last;  // rounding alone leads here
}

int32_t Sampler::sample(float* logits) {
    penalise(logits);
    int64_t best = -1;
    for (int64_t id = 0; id < vocabulary_; id++)
        if (best < 0 ? logits[id] > -std::numeric_limits<float>::infinity() : logits[id] > logits[best]) best = id;
    if (best < 0 || options_.temperature <= 0 || std::isinf(logits[best])) return static_cast<int32_t>(best);
    kept_.clear();
    if (options_.top_k > 0 && options_.top_k < vocabulary_)
        keep_top_k(logits);
    else
        keep_all(logits);
    const double top = logits[best];
    for (Candidate& c : kept_) c.weight = std::exp((c.logit - top) / options_.temperature);
    if (options_.top_p < 1) keep_top_p();
    if (options_.min_p > 0) std::erase_if(kept_, [&](const Candidate& c) { return c.weight < options_.min_p; });
    return draw();
}

}  // namespace orrery::text_generation
