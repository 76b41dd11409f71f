#include "sampler.hpp"

#include <algorithm>

namespace orrery::text_generation {

Sampler::Sampler(const SamplerOptions& options, int64_t vocabulary, uint64_t tokens)
    : options_(options), vocabulary_(vocabulary), random_(options.seed), seen_(vocabulary), count_(vocabulary) {
    // Numbers of ids beyond what f32 tells apart are more than any vocabulary.
    const auto top_k = static_cast<float>(std::min<int64_t>(options.top_k, 1 << 24));
    parameters_ = {static_cast<float>(options.temperature), top_k, static_cast<float>(options.top_p), static_cast<float>(options.min_p)};
    seen_ids_.reserve(std::min(tokens, static_cast<uint64_t>(vocabulary)));
}

bool Sampler::plain() const {
    return options_.logit_bias.empty() && options_.repetition_penalty == 1 && options_.presence_penalty == 0 && options_.frequency_penalty == 0;
}

uint64_t Sampler::random_ahead(int64_t ahead) const {
    SplitMix64 copy = random_;
    for (; ahead > 0; ahead--) copy.next();
    return copy.next();
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

int32_t Sampler::sample(float* logits) {
    penalise(logits);
    room_.resize(static_cast<size_t>(sampling::room_for(parameters_, vocabulary_)));  // at the first token alone
    return sampling::choose(logits, vocabulary_, parameters_, next_random(), room_.data());
}

}  // namespace orrery::text_generation
