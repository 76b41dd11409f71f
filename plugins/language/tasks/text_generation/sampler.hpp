// Chooses the next token from a row of logits. The steps, in this order (that of Hugging Face's generate()):
//   1. bias: logit += bias
//   2. repetition penalty p (Keskar et al. 2019, arXiv:1909.05858; transformers RepetitionPenaltyLogitsProcessor):
//      logits of ids seen in prompt or answer become l < 0 ? l * p : l / p
//   3. presence a and frequency f penalty (as in OpenAI's API), over the answer alone: l -= (n > 0) * a + n * f, n = times seen
//   4. temperature 0: the largest logit, of equals the smallest id. Otherwise w = exp((l - max) / temperature)
//   5. top-k (Fan et al. 2018, arXiv:1805.04833): the k largest, of equals those with smaller ids
//   6. top-p (Holtzman et al. 2019, arXiv:1904.09751): the shortest run of the largest whose weight reaches top_p of all kept
//   7. min-p (Nguyen et al. 2024, arXiv:2407.01082): those with w >= min_p * the largest w
//   8. one draw u in [0, 1): the first id, in ascending order, where the running sum of w exceeds u * sum
// The generator is SplitMix64 (Steele, Lea, Flood 2014, doi:10.1145/2660193.2660195); u = its upper 53 bits * 2^-53.
#ifndef ORRERY_TASKS_SAMPLER_HPP
#define ORRERY_TASKS_SAMPLER_HPP

#include <cstdint>
#include <utility>
#include <vector>

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
    double uniform() { return static_cast<double>(next() >> 11) * 0x1.0p-53; }

  private:
    uint64_t state_;
};

// Allocates when made, then no more (but for top_p without top_k).
class Sampler {
  public:
    // tokens: ids that accept() will be told, for reserving.
    Sampler(const SamplerOptions& options, int64_t vocabulary, uint64_t tokens);
    // A token of the prompt (generated false) or of the answer.
    void accept(int32_t id, bool generated);
    // logits: [vocabulary], changed by the penalties. Returns -1 when none is larger than -inf (NaN counts as -inf).
    int32_t sample(float* logits);

  private:
    struct Candidate {
        float logit;
        int32_t id;
        double weight;
    };
    static bool better(const Candidate& a, const Candidate& b) { return a.logit > b.logit || (a.logit == b.logit && a.id < b.id); }
    void penalise(float* logits) const;
    void keep_top_k(const float* logits);
    void keep_all(const float* logits);
    void keep_top_p();
    int32_t draw();

    SamplerOptions options_;
    int64_t vocabulary_;
    SplitMix64 random_;
    std::vector<uint8_t> seen_;
    std::vector<uint32_t> count_;    // in the answer
    std::vector<int32_t> seen_ids_;  // each once
    std::vector<Candidate> kept_;
};

}  // namespace orrery::text_generation
#endif
