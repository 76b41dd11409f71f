// The controls "exit_confidence", "exit_similarity", "exit_from" and "exit_every" of a stack of layers: a run leaves the stack where going on
// would hardly change the result. Elbayad et al. 2020, arXiv:1910.10073 (thresholded confidence; what the layers left out keep of a token comes
// from the state at the exit) · Schuster et al. 2022, arXiv:2207.07061 (top probability of the shared head) · Tang et al. 2023, arXiv:2211.11152
// (similarity of a layer's input and output).
#ifndef ORRERY_COMMON_MODEL_EARLY_EXIT_H
#define ORRERY_COMMON_MODEL_EARLY_EXIT_H

#include <functional>
#include <string>

#include "model/arch.h"

namespace orrery {

// The value of a control that is a number; neutral where it is not set. Throws Error naming the control where it is none or out of range.
double control_number(Graph& g, const std::string& name, double neutral, double least, double most);

struct ExitRules {
    double confidence = 1, similarity = 1;  // 1: never
    int64_t from = 0, every = 1;
    bool any() const { return confidence < 1 || similarity < 1; }
};

// Reads the graph's controls, with `prefix` in front of their names. Throws Error naming the control and what is wrong with its value.
ExitRules read_exit_rules(Graph& g, const std::string& prefix = "");

// What a model tells of itself to leave early. All of these build nodes.
struct ExitParts {
    std::function<Value(Value x)> logits;  // of x [B, 1, E]: [B, 1, V]; empty: the model predicts nothing, confidence does not apply
    std::function<Value(Value x)> narrow;  // x as the last block gives it; empty: as any block
    Value positions;                       // [B, T], with logits
};

// A stack under construction. x is valid behind every segment; what stands in a segment runs only while no exit was taken.
class ExitingStack {
  public:
    ExitingStack(Graph& g, const ExitRules& rules, ExitParts parts);

    bool looks_behind(int64_t step) const { return step >= rules_.from && (step - rules_.from) % rules_.every == 0; }
    // run(x) builds the segment's blocks and sets *before to what its last block reads; left_out(x) builds what happens in their place.
    // last: nothing comes behind it.
    template <class Run, class LeftOut>
    Value segment(Value x, bool last, const std::string& path, Run&& run, LeftOut&& left_out) {
        Value y, before;
        LookValues look;
        const auto body = [&] {
            y = run(x, &before);
            if (y && !last) look = look_at(before, y);
        };
        if (!done_)
            body();
        else
            g_.when(done_, true, body);
        if (!y || (!done_ && last)) return y;
        if (done_) {
            g_.when(done_, false, [&] { left_out(x); });
            y = g_.op("orr.where/1", {done_, last && parts_.narrow ? parts_.narrow(x) : x, y});
        }
        if (!last) take(look, path);
        return y;
    }
    // The logits that the exit was taken by, else head(). head builds [B, T, V].
    template <class Head>
    Value predict(Head&& head) {
        if (!done_ || !logits_) return head();
        const Value known = rules_.similarity < 1 ? g_.op("orr.mul/1", {done_, single_}) : done_;
        Value full;
        g_.when(known, true, [&] { full = head(); });
        return g_.op("orr.where/1", {known, logits_, full});
    }

  private:
    struct LookValues {
        Value done, logits;
    };
    LookValues look_at(Value before, Value after);
    Value similar(Value before, Value after);
    LookValues confident(Value x);
    Value at_least(Value rows, double threshold);
    Value single_tokens();
    void take(const LookValues& look, const std::string& path);

    Graph& g_;
    const ExitRules rules_;
    const ExitParts parts_;
    Value done_;    // f32 [1]: 1 once an exit was taken
    Value logits_;  // those at the exit, where done_ and single_ are 1
    Value single_;  // f32 [1]: 1 where each sequence has one token
};

// Adds the controls to what the model declares. predicts: it has logits to be confident of.
void declare_exit_controls(Summary& summary, bool predicts, const std::string& prefix = "");

}  // namespace orrery
#endif
