// The controls "exit_confidence", "exit_similarity", "exit_heads", "exit_halt", "exit_from" and "exit_every" of a stack of layers: a sequence leaves
// the stack where going on would hardly change the result. Elbayad et al. 2020, arXiv:1910.10073 (thresholded confidence; what the layers left out keep of a token comes
// from the state at the exit) · Schuster et al. 2022, arXiv:2207.07061 (top probability of the shared head) · Tang et al. 2023, arXiv:2211.11152
// (similarity of a layer's input and output).
#ifndef ORRERY_COMMON_MODEL_EARLY_EXIT_H
#define ORRERY_COMMON_MODEL_EARLY_EXIT_H

#include <functional>
#include <string>

#include "model/arch.h"
#include "model/exit_heads.h"

namespace orrery {

// The value of a control that is a number; neutral where it is not set. Throws Error naming the control where it is none or out of range.
double control_number(Graph& g, const std::string& name, double neutral, double least, double most);

struct ExitRules {
    double confidence = 1, similarity = 1;  // 1: never
    double halt = 0.5;
    ExitHeads heads;
    int64_t from = 0, every = 1;
    std::string prefix;  // of the controls
    bool any() const { return confidence < 1 || similarity < 1 || heads.halts(); }
};

// Reads the graph's controls, with `prefix` in front of their names. Throws Error naming the control and what is wrong with its value.
ExitRules read_exit_rules(Graph& g, const std::string& prefix = "", const ExitShape& shape = {});

// What a model tells of itself to leave early. All of these build nodes.
struct ExitParts {
    std::function<Value(Value x)> logits;  // of x [B, 1, E]: [B, 1, V]; empty: the model predicts nothing, confidence does not apply
    std::function<Value(Value x)> narrow;  // x as the last block gives it; empty: as any block
    Value positions;                       // [B, T], with logits
    Value token_mask;                      // i32 [B, T]: 0 for tokens that are no part of their sequence; absent: all are
    std::function<Value(Value x, const ExitHeads::Affine* own)> norm;  // in front of a head, by its own weights or the model's; with logits
};

// Some steps of a layer plan: what runs, or not, between two looks.
struct ExitSegment {
    bool last = false;  // nothing comes behind it
    std::string path;   // of its last layer
    int64_t layer = 0, step = 0;  // the last ones
    int64_t layers = 0;           // how many
};

// A stack under construction: each sequence of the batch leaves it by itself, and what stands in a segment runs while any is left.
// x [B, .., E] is valid behind every segment, for a sequence that left as it left.
class ExitingStack {
  public:
    ExitingStack(Graph& g, const ExitRules& rules, ExitParts parts);

    bool looks_behind(int64_t step) const { return decides_behind(step) || (step == 0 && rules_.heads.depth()); }
    // run(x) builds the segment's blocks and sets *before to what its last block reads; left_out(x) builds what happens in their place where
    // every sequence has left.
    template <class Run, class LeftOut>
    Value segment(Value x, const ExitSegment& s, Run&& run, LeftOut&& left_out) {
        Value y, before;
        LookValues look;
        const auto body = [&] {
            y = run(x, &before);
            if (y && !s.last) look = look_at(s, before, y);
        };
        if (!done_)
            body();
        else
            g_.when(all_, true, body);
        if (!y) return y;
        count(s.layers);
        if (done_) {
            g_.when(all_, false, [&] { left_out(x); });
            y = g_.op("orr.where/1", {all_, s.last && parts_.narrow ? parts_.narrow(x) : x, y});
        }
        if (s.last)
            tell_depth();
        else
            take(look, s.path);
        return y;
    }
    // Within a segment, behind each step: x of the sequences that have left, y of the others. final: y is as the last block gives it.
    Value keep_left(Value x, Value y, bool final);
    // The logits that each sequence's exit was taken by, else head(). head builds [B, T, V].
    template <class Head>
    Value predict(Head&& head) {
        if (!known_) return head();
        Value full;
        g_.when(every(known_), true, [&] { full = head(); });
        return g_.op("orr.where/1", {known_, logits_, full});
    }

  private:
    struct LookValues {
        Value done, logits;
    };
    bool decides_behind(int64_t step) const { return step >= rules_.from && (step - rules_.from) % rules_.every == 0; }
    LookValues look_at(const ExitSegment& s, Value before, Value after);
    Value similar(Value before, Value after);
    LookValues single_token_look(const ExitSegment& s, Value x);
    Value halts(const ExitSegment& s, Value x);
    void plan_depth(Value x);
    Value own_logits(int64_t layer, Value x);
    Value at_least(Value numbers, double threshold);
    Value over_tokens(Value rows, const char* function);
    Value every(Value flags, const char* function = "min");
    Value either(Value a, Value b) { return a && b ? g_.op("orr.maximum/1", {a, b}) : a ? a : b; }
    Value single_tokens();
    void take(const LookValues& look, const std::string& path);
    void count(int64_t layers);
    void tell_depth();

    Graph& g_;
    const ExitRules rules_;
    const ExitParts parts_;
    Value done_;     // f32 [B, 1, 1]: 1 once the sequence has left
    Value all_;      // f32 [1]: 1 once all have
    Value known_;    // f32 [B, 1, 1]: 1 where logits_ are the sequence's
    Value logits_;   // [B, 1, V]: those at the exit
    Value single_;   // f32 [1]: 1 where each sequence has one token
    Value planned_;  // f32 [B, 1, 1]: the step behind which the sequence is to leave, where single_ is 1
    Value depth_;    // f32 [B, 1, 1]: layers that ran for the sequence, beside always_
    int64_t always_ = 0;
};

// Adds the controls to what the model declares. predicts: it has logits to be confident of.
void declare_exit_controls(Summary& summary, bool predicts, const std::string& prefix = "");

}  // namespace orrery
#endif
