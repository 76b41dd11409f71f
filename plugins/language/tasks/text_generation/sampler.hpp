// Chooses the next token from a row of logits. The steps, in this order (that of Hugging Face's generate()):
//   1. bias: logit += bias
//   2. repetition penalty p (Keskar et al. 2019, arXiv:1909.05858; transformers RepetitionPenaltyLogitsProcessor):
//      logits of ids seen in prompt or answer become l < 0 ? l * p : l / p
//   3. presence a and frequency f penalty (as in OpenAI's API), over the answer alone: l -= (n > 0) * a + n * f, n = times seen
//   4. the choice of sampling/sampling.h: temperature, top-k (Fan et al. 2018, arXiv:1805.04833), top-p (Holtzman et al. 2019,
//      arXiv:1904.09751), min-p (Nguyen et al. 2024, arXiv:2407.01082), one draw. The operator orr.sample/1 makes the same one.
// The generator is SplitMix64 (Steele, Lea, Flood 2014, doi:10.1145/2660193.2660195), one number for each token that is drawn.
#ifndef ORRERY_TASKS_SAMPLER_HPP
#define ORRERY_TASKS_SAMPLER_HPP

#include <cstdint>
#include <utility>
#include <vector>

#include "sampling/sampling.h"

namespace orrery::text_generation {

struct SamplerOptions {
    double temperature = 0.8;
    int64_t top_k = 40;  // 0: all
    double top_p = 0.95;
    double min_p = 0;
    double repetition_penalty = 1;
    double presence_penalty = 0;
    double frequency_penalty = 0;
    uint64_t seed = 1;
    std::vector<std::pair<int32_t, float>> logit_bias;  // ids inside the vocabulary
};

class SplitMix64 {
  public:
    explicit SplitMix64(uint64_t seed) : state_(seed) {}
    uint64_t next() {
        uint64_t z = state_ += 0x9e3779b97f4a7c15u;
        z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
        z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
        return z ^ (z >> 31);
    }

  private:
    uint64_t state_;
};

// Allocates when made and at the first token, then no more.
class Sampler {
  public:
    // tokens: ids that accept() will be told, for reserving.
    Sampler(const SamplerOptions& options, int64_t vocabulary, uint64_t tokens);
    // A token of the prompt (generated false) or of the answer.
    void accept(int32_t id, bool generated);
    // logits: [vocabulary], changed by the penalties. Returns -1 when none is larger than -inf (NaN counts as -inf).
    int32_t sample(float* logits);
    // For the operator instead of sample(): its parameters, the random number of the next token, and whether it does all that is asked.
    const sampling::Parameters& parameters() const { return parameters_; }
    uint64_t next_random() { return sampling::draws(parameters_.temperature) ? random_.next() : 0; }
    bool plain() const;
    // What next_random() will give after `ahead` more tokens.
    uint64_t random_ahead(int64_t ahead) const;

  private:
    void penalise(float* logits) const;

    SamplerOptions options_;
    int64_t vocabulary_;
    SplitMix64 random_;
    std::vector<uint8_t> seen_;
    std::vector<uint32_t> count_;    // in the answer
    std::vector<int32_t> seen_ids_;  // each once
    sampling::Parameters parameters_;
    std::vector<sampling::Candidate> room_;
};

}  // namespace orrery::text_generation
#endif
