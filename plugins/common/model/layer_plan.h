// The controls "layer_plan" and "bypass" of a stack of layers: which of them run, in what order, which of their parts.
// Sun et al. 2024, arXiv:2407.09298 (skip, reorder, repeat, side by side) · Zhang et al. 2024, arXiv:2405.18218 (single sub-layers).
#ifndef ORRERY_COMMON_MODEL_LAYER_PLAN_H
#define ORRERY_COMMON_MODEL_LAYER_PLAN_H

#include <string>
#include <vector>

#include "model/arch.h"
#include "model/early_exit.h"

namespace orrery {

// How many of a feed-forward's hidden units take part: the first ones. Devvrit et al. 2023, arXiv:2310.07707 (MatFormer).
struct FfnWidth {
    double share = 1;   // of all
    int64_t units = 0;  // above 0: as many, whatever the share
    // Throws Error where the layer has fewer.
    int64_t of(int64_t whole) const;
};

struct LayerStep {
    int64_t layer = 0;
    std::string path;  // "layers.3"; where it runs again "layers.3#2": its values and states have names of their own
    bool mixer = true, ffn = true;  // false: x passes by
    bool final = false;             // nothing comes behind it
    FfnWidth ffn_width = {};
};

class LayerPlan {
  public:
    // Reads the graph's controls, their names and the paths with `prefix` in front ("encoder."). Throws Error naming the control and what is
    // wrong with its value.
    LayerPlan(Graph& g, int64_t layers, const std::string& prefix = "");

    // x after all of it. block(step, x) gives x after one layer. Stops once something has failed.
    template <class Block>
    Value run(Graph& g, Value x, Block&& block) const {
        for (const std::vector<LayerStep>& side_by_side : steps_) x = run(g, side_by_side, x, block);
        return x;
    }
    // The same with exits. left_out(step, x) builds what a layer keeps of tokens that left before it with the state x.
    template <class Block, class LeftOut>
    Value run(Graph& g, Value x, ExitingStack& stack, Block&& block, LeftOut&& left_out) const {
        for (size_t begin = 0, end = 0; x && begin < steps_.size(); begin = end) {
            for (end = begin + 1; end < steps_.size() && !stack.looks_behind(static_cast<int64_t>(end) - 1);) end++;
            ExitSegment segment{end == steps_.size(), steps_[end - 1].front().path, steps_[end - 1].front().layer, static_cast<int64_t>(end) - 1, 0};
            for (size_t k = begin; k < end; k++)
                for (const LayerStep& step : steps_[k]) segment.layers += step.mixer || step.ffn;
            x = stack.segment(
                x, segment,
                [&](Value y, Value* before) {
                    for (size_t k = begin; k < end; k++) *before = y, y = stack.keep_left(y, run(g, steps_[k], y, block), steps_[k].front().final);
                    return y;
                },
                [&](Value at) {
                    for (size_t k = begin; k < end; k++)
                        for (const LayerStep& step : steps_[k]) left_out(step, at);
                });
        }
        return x;
    }
    // The same in pieces: each item is what runs side by side.
    const std::vector<std::vector<LayerStep>>& steps() const { return steps_; }
    template <class Block>
    static Value run(Graph& g, const std::vector<LayerStep>& side_by_side, Value x, Block&& block) {
        if (!x) return x;
        if (side_by_side.size() == 1) return block(side_by_side[0], x);
        Value sum;
        g.concurrently([&] {
            for (const LayerStep& step : side_by_side) {
                const Value y = block(step, x);
                sum = sum ? g.op("orr.add/1", {sum, y}) : y;
            }
        });
        return g.op("orr.affine/1", {sum}, Attrs().set("scale", 1 / static_cast<double>(side_by_side.size())));
    }

  private:
    std::vector<std::vector<LayerStep>> steps_;  // of each, all read the same x and their results are averaged
};

// A stack of which nothing is remembered: its layer plan, and exits by similarity. prefix: of its controls and paths. token_mask: see ExitParts.
template <class Block>
Value run_layers(Graph& g, Value x, int64_t layers, Block&& block, const std::string& prefix = "", Value token_mask = {}) {
    const LayerPlan plan(g, layers, prefix);
    const ExitRules rules = read_exit_rules(g, prefix);
    if (!rules.any()) return plan.run(g, x, block);
    ExitingStack stack(g, rules, {nullptr, nullptr, Value{}, token_mask, nullptr});
    return plan.run(g, x, stack, block, [](const LayerStep&, Value) {});
}

// Adds both controls to what the model declares. ffn: its blocks have a channel mixer beside the token mixer.
void declare_layer_controls(Summary& summary, int64_t layers, bool ffn, const std::string& prefix = "");

// The control "ffn_width", of models whose feed-forwards read LayerStep::ffn_width.
void declare_ffn_width(Summary& summary, int64_t layers, const std::string& prefix = "");
// Indices [begin, end) of an axis of a weight that has `whole`; the weight itself where that is all of it.
Value part_of(Graph& g, Value weight, int64_t axis, int64_t whole, int64_t begin, int64_t end);

}  // namespace orrery
#endif
