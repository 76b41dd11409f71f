#include "model/early_exit.h"

#include <climits>
#include <nlohmann/json.hpp>

#include "model/json_text.h"

namespace orrery {

double control_number(Graph& g, const std::string& name, double neutral, double least, double most) {
    const char* given = g.control(name.c_str());
    if (!given) return neutral;
    const nlohmann::json value = parse_json(given);
    const auto fail = [&](const std::string& wanted) { throw Error(ORR_INVALID_ARGUMENT, "control " + name + " is " + given + ", wanted " + wanted); };
    if (!value.is_number()) fail("a number");
    const auto x = value.get<double>();
    if (!(x >= least && x <= most)) fail("a number from " + nlohmann::json(least).dump() + " to " + nlohmann::json(most).dump());
    return x;
}

namespace {

constexpr int64_t kMostSteps = 1000;  // of a layer plan

int64_t whole(Graph& g, const std::string& name, int64_t neutral, int64_t least, int64_t most) {
    const double x = control_number(g, name, static_cast<double>(neutral), static_cast<double>(least), static_cast<double>(most));
    if (x != static_cast<double>(static_cast<int64_t>(x))) throw Error(ORR_INVALID_ARGUMENT, "control " + name + " is " + g.control(name.c_str()) + ", wanted a whole number");
    return static_cast<int64_t>(x);
}

}  // namespace

ExitRules read_exit_rules(Graph& g, const std::string& prefix, const ExitShape& shape) {
    ExitRules r;
    r.confidence = control_number(g, prefix + "exit_confidence", 1, 0, 1);
    r.similarity = control_number(g, prefix + "exit_similarity", 1, -1, 1);
    if (shape.vocabulary) {
        r.halt = control_number(g, prefix + "exit_halt", 0.5, 0, 1);
        r.heads = ExitHeads(g, prefix, shape);
    }
    r.from = whole(g, prefix + "exit_from", 0, 0, kMostSteps);
    r.every = whole(g, prefix + "exit_every", 1, 1, kMostSteps);
    r.prefix = prefix;
    return r;
}

ExitingStack::ExitingStack(Graph& g, const ExitRules& rules, ExitParts parts) : g_(g), rules_(rules), parts_(std::move(parts)) {
    if ((rules_.confidence < 1 || rules_.heads.halts()) && parts_.logits) single_ = single_tokens();
}

// f32: 1 where a number is at least the threshold; a NaN is not.
Value ExitingStack::at_least(Value numbers, double threshold) {
    const Value limit = g_.constant("exit.threshold." + nlohmann::json(threshold).dump(), {static_cast<float>(threshold)});
    return g_.op("orr.cast/1", {g_.op("orr.compare/1", {numbers, limit}, Attrs().set("function", "ge"))}, Attrs().set("type", "f32"));
}

// [B, .., 1] -> [B, 1, 1]
Value ExitingStack::over_tokens(Value rows, const char* function) {
    std::vector<int64_t> axes;
    for (int64_t k = 1; k + 1 < g_.info(rows).rank; k++) axes.push_back(k);
    return g_.op("orr.reduce/1", {rows}, Attrs().set("function", function).set("axes", axes).set("keepdims", true));
}

// f32 [1]: the least of all, or what else the function gives.
Value ExitingStack::every(Value flags, const char* function) {
    std::vector<int64_t> axes;
    for (int64_t k = 0; k < g_.info(flags).rank; k++) axes.push_back(k);
    const Value least = g_.op("orr.reduce/1", {flags}, Attrs().set("function", function).set("axes", axes).set("keepdims", true));
    return g_.op("orr.reshape/1", {least}, Attrs().set("shape", std::vector<int64_t>{1}));
}

// T is in no value: it is counted.
Value ExitingStack::single_tokens() {
    Value ones = g_.op("orr.cast/1", {parts_.positions}, Attrs().set("type", "f32"));
    ones = g_.op("orr.affine/1", {ones}, Attrs().set("scale", 0.0).set("offset", 1.0));
    const Value tokens = g_.op("orr.reduce/1", {ones}, Attrs().set("function", "sum").set("axes", std::vector<int64_t>{1}).set("keepdims", true));
    return every(at_least(g_.op("orr.affine/1", {tokens}, Attrs().set("scale", -1.0)), -1));
}

// min over the sequence's tokens of cos(before, after)
Value ExitingStack::similar(Value before, Value after) {
    const Attrs eps = Attrs().set("eps", 1e-8);
    const Value product = g_.op("orr.mul/1", {g_.op("orr.l2_norm/1", {before}, eps), g_.op("orr.l2_norm/1", {after}, eps)});
    Value cosine = g_.op("orr.reduce/1", {product}, Attrs().set("function", "sum").set("axes", std::vector<int64_t>{-1}).set("keepdims", true));
    if (parts_.token_mask) {
        const Value counts = g_.op("orr.reshape/1", {parts_.token_mask}, Attrs().set("shape", std::vector<int64_t>{0, 0, 1}));
        cosine = g_.op("orr.where/1", {counts, cosine, g_.constant("exit.yes", {1.0F})});
    }
    return at_least(over_tokens(cosine, "min"), rules_.similarity);
}

// By the layer's own classifier, else, where the file has none at all, by the model's.
Value ExitingStack::own_logits(int64_t layer, Value x) {
    const ExitHeads::Affine &head = rules_.heads.head(layer), &norm = rules_.heads.norm(layer);
    if (!head) return rules_.heads.has_heads() ? Value{} : parts_.logits(x);
    return affine(g_, head, parts_.norm(x, norm ? &norm : nullptr));
}

// sigmoid(w x + b) >= exit_halt; or the step that was planned is over.
Value ExitingStack::halts(const ExitSegment& s, Value x) {
    Value done;
    if (const ExitHeads::Affine& map = rules_.heads.halt(s.layer))
        done = at_least(g_.named(s.path + ".halt", g_.op("orr.activation/1", {affine(g_, map, x)}, Attrs().set("function", "sigmoid"))), rules_.halt);
    if (planned_) done = either(done, at_least(g_.op("orr.affine/1", {planned_}, Attrs().set("scale", -1.0)), -static_cast<double>(s.step)));
    return done;
}

// argmax of the classes; the last of them is the end of the stack.
void ExitingStack::plan_depth(Value x) {
    Value scores = g_.op("orr.reshape/1", {affine(g_, rules_.heads.depth(), x)}, Attrs().set("shape", std::vector<int64_t>{-1, rules_.heads.layers()}));
    Value chosen = g_.op("orr.cast/1", {g_.op("orr.argmax/1", {scores}, Attrs().set("axis", 1))}, Attrs().set("type", "f32"));
    const Value end = g_.constant("exit.end", {static_cast<float>(rules_.heads.layers() - 1)});
    const Value ends = g_.op("orr.cast/1", {g_.op("orr.compare/1", {chosen, end}, Attrs().set("function", "ge"))}, Attrs().set("type", "f32"));
    chosen = g_.op("orr.where/1", {ends, g_.constant("exit.never", {static_cast<float>(2 * kMostSteps)}), chosen});
    planned_ = g_.op("orr.reshape/1", {chosen}, Attrs().set("shape", std::vector<int64_t>{-1, 1, 1}));
}

// What is asked of the one token of a run; a run of several is not asked.
ExitingStack::LookValues ExitingStack::single_token_look(const ExitSegment& s, Value x) {
    LookValues look;
    g_.when(single_, false, [&] {
        const Value h = g_.op("orr.slice/1", {x}, Attrs().set("axis", 1).set("start", -1).set("end", INT64_MAX));
        if (s.step == 0 && rules_.heads.depth()) plan_depth(h);
        if (!decides_behind(s.step)) return;
        if (rules_.confidence < 1) look.logits = own_logits(s.layer, h);
        if (look.logits) {
            const Value best = g_.op("orr.reduce/1", {g_.op("orr.softmax/1", {look.logits})}, Attrs().set("function", "max").set("axes", std::vector<int64_t>{-1}).set("keepdims", true));
            look.done = at_least(best, rules_.confidence);
        }
        look.done = either(look.done, halts(s, h));
        if (look.done && !look.logits && rules_.heads.head(s.layer)) g_.when(every(look.done, "max"), false, [&] { look.logits = own_logits(s.layer, h); });
    });
    if (look.done) look.done = g_.op("orr.where/1", {single_, look.done, g_.constant("exit.no", {0.0F})});
    return look;
}

ExitingStack::LookValues ExitingStack::look_at(const ExitSegment& s, Value before, Value after) {
    LookValues look;
    if (single_) look = single_token_look(s, after);
    if (rules_.similarity < 1 && decides_behind(s.step)) look.done = either(look.done, similar(before, after));
    return look;
}

Value ExitingStack::keep_left(Value x, Value y, bool final) {
    if (!done_ || !y) return y;
    return g_.op("orr.where/1", {done_, final && parts_.narrow ? parts_.narrow(x) : x, y});
}

// What a look gave where all had left before it holds nothing: done_ says so.
void ExitingStack::take(const LookValues& look, const std::string& path) {
    if (!look.done) return;
    if (look.logits) {
        const Value fresh = g_.op("orr.mul/1", {look.done, single_});
        logits_ = known_ ? g_.op("orr.where/1", {known_, logits_, look.logits}) : look.logits;
        known_ = done_ ? g_.op("orr.where/1", {done_, known_ ? known_ : g_.constant("exit.no", {0.0F}), fresh}) : fresh;
    }
    done_ = done_ ? g_.op("orr.where/1", {done_, done_, look.done}) : look.done;
    all_ = every(done_);
    g_.named(path + ".exit", done_);
}

void ExitingStack::count(int64_t layers) {
    if (!done_) {
        always_ += layers;
        return;
    }
    const auto n = static_cast<double>(layers);
    const Value ran = g_.op("orr.affine/1", {done_}, Attrs().set("scale", -n).set("offset", n));
    depth_ = depth_ ? g_.op("orr.add/1", {depth_, ran}) : ran;
}

void ExitingStack::tell_depth() {
    if (!depth_) return;
    const Value all = g_.op("orr.affine/1", {depth_}, Attrs().set("scale", 1.0).set("offset", static_cast<double>(always_)));
    g_.named(rules_.prefix + "exit.depth", g_.op("orr.reshape/1", {all}, Attrs().set("shape", std::vector<int64_t>{-1})));
}

void declare_exit_controls(Summary& summary, bool predicts, const std::string& prefix) {
    nlohmann::json list = parse_json(summary.controls_json);
    if (predicts) {
        list.push_back({{"name", prefix + "exit_heads"},
                        {"type", "string"},
                        {"default", ""},
                        {"meaning", "safetensors file of classifiers layers.N.exit.head.weight [V, E] (.bias, layers.N.exit.norm.weight) for exit_confidence, and of halting predictors layers.N.halt.weight [1, E] or depth.weight [layers, E]"}});
        list.push_back({{"name", prefix + "exit_halt"}, {"type", "number"}, {"default", 0.5}, {"minimum", 0}, {"maximum", 1}, {"meaning", "a sequence leaves the layers, in runs of one token, where sigmoid(halt(x)) of exit_heads is at least this"}});
        list.push_back({{"name", prefix + "exit_confidence"},
                        {"type", "number"},
                        {"default", 1},
                        {"minimum", 0},
                        {"maximum", 1},
                        {"meaning", "a sequence leaves the layers, in runs of one token, where the best token's probability, by the final norm and head (or exit_heads), is at least this; 1: never"}});
    }
    list.push_back({{"name", prefix + "exit_similarity"},
                    {"type", "number"},
                    {"default", 1},
                    {"minimum", -1},
                    {"maximum", 1},
                    {"meaning", "a sequence leaves the layers where the cosine of a layer's input and output is at least this for all its tokens of the run; 1: never"}});
    list.push_back({{"name", prefix + "exit_from"}, {"type", "integer"}, {"default", 0}, {"minimum", 0}, {"maximum", kMostSteps}, {"meaning", "first step of the layer plan behind which to look for an exit"}});
    list.push_back({{"name", prefix + "exit_every"}, {"type", "integer"}, {"default", 1}, {"minimum", 1}, {"maximum", kMostSteps}, {"meaning", "steps from one look to the next"}});
    summary.controls_json = json_text(list);
}

}  // namespace orrery
