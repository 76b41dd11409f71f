// Drafts of the tokens to come, and how long they should be. The whole model checks each drafted token, so that a draft decides on time alone.
#ifndef ORRERY_TASKS_DRAFT_HPP
#define ORRERY_TASKS_DRAFT_HPP

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

namespace orrery::text_generation {

// Kernels take up to eight rows in the form in which they take one: the sums of a row run in the same order, whatever stands beside it.
constexpr int64_t kMostDraft = 7;

struct Speculation {
    enum class Draft { none, lookup, controls };
    Draft draft = Draft::none;
    int64_t ngram = 2;                                           // of lookup: tokens that must agree
    std::vector<std::pair<std::string, std::string>> controls;  // of the session while drafting: names and values as JSON
    int64_t most = kMostDraft;
};

// What a request has come to.
struct SpeculationCount {
    uint64_t drafted = 0, accepted = 0, verify_steps = 0, plain_steps = 0;
    double draft_s = 0, verify_s = 0;
};

// Writes up to `most` tokens that followed the last place where `ids` went on like its end: of all places at which at least `ngram` tokens
// agree with the last ones, that with the longest agreement, of equal ones the latest. None: draft is empty. What runs into the end goes
// on with itself. Yang et al. 2023, arXiv:2304.04487 (copying from the prompt, checked by the model).
void look_up(const std::vector<int32_t>& ids, int64_t ngram, int64_t most, std::vector<int32_t>& draft);

// Twice as long after a draft that was right to its end, else one token longer than what was right.
class DraftLength {
  public:
    explicit DraftLength(int64_t most) : most_(most), length_(most) {}
    int64_t get() const { return length_; }
    void learn(int64_t drafted, int64_t accepted);

  private:
    int64_t most_, length_;
};

}  // namespace orrery::text_generation
#endif
