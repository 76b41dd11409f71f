// What a session does with named values: the taps that were set, and a program with them woven in.
#pragma once
#include <memory>
#include <string>
#include <vector>

#include "engine/graph/graph.hpp"
#include "orrery/ext/taps.h"
#include "orrery/orrery.h"

namespace orrery {

struct Tap {
    std::string path;  // pattern
    const orr_tap_kind* kind = nullptr;
    float factor = 1;
    int64_t count = 0;
    std::vector<int64_t> operand_shape;
    std::vector<float> operand;
    int64_t first_position = 0, end_position = INT64_MAX, first_run = 0, end_run = INT64_MAX;

    bool edits() const { return (kind->flags & ORR_TAP_EDIT) != 0; }
    bool some_positions() const { return first_position > 0 || end_position < INT64_MAX; }
};

// Immutable.
class TapSet {
  public:
    // Throws Error naming the tap and what is wrong with it.
    TapSet(Registry& registry, uint32_t count, const orr_tap* const* taps);

    const std::vector<Tap>& taps() const { return taps_; }
    // Which of them apply to the n-th run: '1' or '0' each. Does not allocate where `out` is long enough.
    void active(int64_t run, std::string& out) const;
    // All that a program depends on: not the numbers.
    const std::string& key() const { return key_; }
    bool operator==(const TapSet& other) const;  // numbers too

    // What an input that stands for part of a tap holds. first: of its tokens, one a row of the batch; tokens: of the run.
    void fill(const TapInput& in, const orr_tensor& t, const std::vector<int64_t>& first, int64_t tokens) const;

  private:
    std::vector<Tap> taps_;
    std::string key_;
};

// The names that taps can be put at: values that nodes make, and outputs of another name.
std::vector<std::string> tap_paths(const Program& program);
// Whether a path fits a pattern, in which * stands for any text without a dot.
bool path_fits(std::string_view path, std::string_view pattern);

// The program with those taps that are active. Inputs of the taps' own (TapInput) hold their numbers; what is read is among the outputs.
Program weave_taps(const orr_host* host, Registry& registry, Weights& weights, const Program& source, const TapSet& taps, const std::string& active);

}  // namespace orrery
