#include "common/decoder.h"

#include <climits>
#include <cmath>

#include "model/layer_plan.h"
#include "model/sampling_graph.h"
#include "model/skip_routers.h"

namespace orrery {

namespace {

// One entry under construction.
class Builder {
  public:
    Builder(const DecoderConfig& d, Graph& g, bool last_only) : d_(d), g_(g), last_only_(last_only), batch_(g.symbol("B")), tokens_(g.symbol("T")), routers_(g, d.layers, d.hidden) {}

    void build() {
        const Value ids = g_.input("input_ids", ORR_TYPE_I32, {batch_, tokens_});
        mask_ = g_.input("attention_mask", ORR_TYPE_I32, {batch_, d_.causal ? g_.symbol("S_mask") : tokens_}, ORR_INPUT_OPTIONAL);
        positions_ = g_.positions("position_ids", batch_, tokens_);
        make_ropes();
        const Value table = weight(d_.names.embed, {d_.vocabulary, d_.hidden});
        Value x = g_.op("orr.embedding/1", {ids, table}, Attrs().set("scale", d_.embed_scale));
        g_.named("embed.output", x);
        const LayerPlan plan(g_, d_.layers);
        const auto one = [&](const LayerStep& step, Value in) { return block(step, in); };
        const auto final_norm = [&](Value in) { return norm(in, d_.names.norm, d_.hidden); };
        const ExitRules rules = read_exit_rules(g_, "", {d_.layers, d_.hidden, d_.has_head ? d_.vocabulary : 0});
        if (!rules.any()) {
            x = g_.named("norm.output", final_norm(plan.run(g_, x, one)));
            output(d_.has_head ? head(x, table) : x);
        } else {
            ExitParts parts;
            if (d_.has_head) parts.logits = [&](Value at) { return head(final_norm(at), table); };
            if (last_only_) parts.narrow = [&](Value at) { return last(at); };
            parts.positions = positions_;
            parts.norm = [&](Value at, const ExitHeads::Affine* own) { return own ? norm_by(at, own->weight) : final_norm(at); };
            ExitingStack stack(g_, rules, parts);
            x = plan.run(g_, x, stack, one, [&](const LayerStep& step, Value at) { keep(step, at); });
            x = g_.named("norm.output", final_norm(x));
            output(d_.has_head ? stack.predict([&] { return head(x, table); }) : x);
        }
        if (d_.causal) g_.advance(tokens_);
    }

  private:
    Value head(Value x, Value table) {
        const Value logits = g_.op("orr.linear/1", {x, d_.tied ? table : weight(d_.names.head, {d_.vocabulary, d_.hidden})});
        return d_.final_softcap > 0 ? g_.op("orr.softcap/1", {logits}, Attrs().set("cap", d_.final_softcap)) : logits;
    }

    void output(Value logits) {
        if (!d_.has_head) return g_.output("last_hidden_state", logits);
        if (last_only_) logits = g_.op("orr.reshape/1", {logits}, Attrs().set("shape", std::vector<int64_t>{0, d_.vocabulary}));
        g_.output("logits", g_.named("logits", logits));
        if (last_only_) name_token(g_, logits, batch_);
    }

    // x + mixer(x), then x + ffn(x). Entry "next" drops all but the last token once the last layer has attended.
    Value block(const LayerStep& step, Value x) {
        layer_ = step.layer;
        path_ = step.path;
        const bool drops = last_only_ && step.final;
        if (const Value router = step.mixer ? routers_.weight(g_, layer_) : Value{}) {
            x = routed_mixer(x, router, drops);
        } else if (step.mixer) {
            Value context = attention(d_.pre_norm ? norm(x, d_.names.input_norm, d_.hidden) : x);
            if (drops) context = last(context), x = last(x);
            Value mixed = linear(context, d_.names.o, d_.hidden, d_.heads * d_.head_dim, d_.o_bias);
            if (d_.post_norm) mixed = norm(mixed, d_.names.attention_post_norm, d_.hidden);
            x = g_.op("orr.add/1", {x, named("mixer.output", mixed)});
        } else if (drops) {
            x = last(x);
        }
        if (step.ffn) {
            const Value h = d_.pre_norm ? norm(x, d_.names.ffn_norm, d_.hidden) : x;
            Value y = sparse() ? experts(step, h) : feed_forward(h, step.ffn_width.of(d_.ffn));
            if (d_.post_norm) y = norm(y, d_.names.ffn_post_norm, d_.hidden);
            x = g_.op("orr.add/1", {x, named("ffn.output", y)});
        }
        return step.mixer || step.ffn ? named("output", x) : x;
    }

    // x + mixer(norm(x)) of the sequences that their router lets attend, x of the others; keys and values are kept of all.
    Value routed_mixer(Value x, Value router, bool drops) {
        const Value h = d_.pre_norm ? norm(x, d_.names.input_norm, d_.hidden) : x;
        const Value gate = routers_.gate(g_, h, router, path_);
        const Projection p = project(h, false);
        const auto [key, value] = remember(p, true);
        const Value rest = drops ? last(x) : x;
        Value y;
        g_.when(routers_.any(g_, gate), false, [&] {
            const Value q = query(p.q ? p.q : linear(h, d_.names.q, d_.heads * d_.head_dim, d_.hidden, d_.q_bias));
            Value context = attend(q, key, value);
            if (drops) context = last(context);
            Value mixed = linear(context, d_.names.o, d_.hidden, d_.heads * d_.head_dim, d_.o_bias);
            if (d_.post_norm) mixed = norm(mixed, d_.names.attention_post_norm, d_.hidden);
            y = g_.op("orr.add/1", {rest, named("mixer.output", mixed)});
        });
        return g_.op("orr.where/1", {gate, y, rest});
    }

    // Keys and values of tokens that left the stack before this layer, from the state that they left with.
    void keep(const LayerStep& step, Value x) {
        layer_ = step.layer;
        path_ = step.path;
        if (step.mixer && d_.causal) remember(project(d_.pre_norm ? norm(x, d_.names.input_norm, d_.hidden) : x, false), false);
    }

    // softmax(scale q k^T + masks) v per head, before the output projection: [B, T, H*D]
    Value attention(Value x) {
        const Projection p = project(x, true);
        const Value q = query(p.q);
        const auto [k, v] = remember(p, true);
        return attend(q, k, v);
    }

    struct Projection {
        Value q, k, v;
    };
    // queries: false where they are not wanted yet; fused with the others they are there all the same.
    Projection project(Value x, bool queries) {
        const int64_t q_width = d_.heads * d_.head_dim, kv_width = d_.kv_heads * d_.head_dim;
        Projection p;
        if (d_.fused_qkv) {
            const Value all = linear(x, d_.names.qkv, q_width + 2 * kv_width, d_.hidden, d_.q_bias);
            p.q = slice(all, 0, q_width);
            p.k = slice(all, q_width, q_width + kv_width);
            p.v = slice(all, q_width + kv_width, q_width + 2 * kv_width);
        } else {
            if (queries) p.q = linear(x, d_.names.q, q_width, d_.hidden, d_.q_bias);
            p.k = linear(x, d_.names.k, kv_width, d_.hidden, d_.k_bias);
            p.v = linear(x, d_.names.v, kv_width, d_.hidden, d_.v_bias);
        }
        return p;
    }
    Value query(Value q) { return named("mixer.q", rope(head_norm(q, d_.names.q_norm, d_.heads))); }

    // Keys and values as the attention reads them. told: they get their paths.
    std::pair<Value, Value> remember(const Projection& p, bool told) {
        Value k = rope(head_norm(p.k, d_.names.k_norm, d_.kv_heads));
        if (told) named("mixer.k", k);
        Value v = split_heads(p.v, d_.kv_heads);
        if (told) named("mixer.v", v);
        if (!d_.causal) return {k, v};
        const int64_t window = d_.layer_windows[static_cast<size_t>(layer_)];
        k = append("mixer.k", k, window);
        return {k, append("mixer.v", v, window)};
    }

    Value attend(Value q, Value k, Value v) {
        Attrs attrs;
        attrs.set("scale", d_.attention_scale).set("causal", d_.causal).set("window", d_.layer_windows[static_cast<size_t>(layer_)]).set("softcap", d_.attention_softcap);
        const Value out = g_.op("orr.attention/1", {q, k, v, Value{}, mask_}, attrs);
        named("mixer.probabilities", g_.op("orr.attention_probabilities/1", {q, k, Value{}, mask_}, attrs));  // for taps; nothing reads it
        return named("mixer.context", g_.op("orr.reshape/1", {out}, Attrs().set("shape", std::vector<int64_t>{0, 0, d_.heads * d_.head_dim})));
    }

    // down(act(gate(x)) * up(x)), of the first `units` hidden units
    Value feed_forward(Value x, int64_t units) {
        Value gate, up;
        if (d_.fused_gate_up && units < d_.ffn) {
            gate = linear(x, d_.names.gate_up, 2 * d_.ffn, d_.hidden, d_.gate_bias, {0, units});
            up = linear(x, d_.names.gate_up, 2 * d_.ffn, d_.hidden, d_.gate_bias, {d_.ffn, d_.ffn + units});
        } else if (d_.fused_gate_up) {
            const Value both = linear(x, d_.names.gate_up, 2 * d_.ffn, d_.hidden, d_.gate_bias);
            gate = slice(both, 0, d_.ffn);
            up = slice(both, d_.ffn, 2 * d_.ffn);
        } else {
            gate = linear(x, d_.names.gate, d_.ffn, d_.hidden, d_.gate_bias, {0, units});
            up = linear(x, d_.names.up, d_.ffn, d_.hidden, d_.up_bias, {0, units});
        }
        named("ffn.gate", gate);
        named("ffn.up", up);
        const Value act = g_.op("orr.activation/1", {gate}, Attrs().set("function", d_.activation));
        return linear(named("ffn.act", g_.op("orr.mul/1", {act, up})), d_.names.down, d_.hidden, d_.ffn, d_.down_bias, {0, d_.hidden}, units);
    }

    // Softmax over all experts, the best top_k of it, renormalised or not.
    Value experts(const LayerStep& step, Value x) {
        if (step.ffn_width.units || step.ffn_width.share < 1) throw Error(ORR_UNSUPPORTED, "control ffn_width: layer " + std::to_string(layer_) + " has experts, not one feed-forward");
        const Value logits = named("ffn.router", linear(x, d_.names.router, d_.experts, d_.hidden, false));
        Attrs route;
        route.set("top_k", d_.top_k).set("normalise", d_.normalise_top_k).set("order", "softmax_topk");
        const auto chosen = g_.ops("orr.moe_route/1", {logits}, route, 2);
        const Value gate = expert_weight(d_.names.expert_gate, {d_.expert_ffn, d_.hidden});
        const Value up = expert_weight(d_.names.expert_up, {d_.expert_ffn, d_.hidden});
        const Value down = expert_weight(d_.names.expert_down, {d_.hidden, d_.expert_ffn});
        return g_.op("orr.moe_ffn/1", {x, chosen[0], chosen[1], gate, up, down}, Attrs().set("activation", d_.activation));
    }

    Value expert_weight(const std::string& pattern, const std::vector<int64_t>& shape) {
        const std::string name = numbered(pattern, layer_);
        if (d_.names.stacked_experts) return g_.weight(name + ".weight", {d_.experts, shape[0], shape[1]});
        std::vector<std::string> names;
        const size_t at = name.find("{x}");
        for (int64_t x = 0; x < d_.experts; x++) names.push_back(std::string(name).replace(at, 3, std::to_string(x)) + ".weight");
        return g_.weight_stack(names, shape);
    }

    // [B, T, H*D] -> [B, T, H, D], normalised where the model does so.
    Value head_norm(Value x, const std::string& name, int64_t heads) {
        if (d_.qk_norm == QkNorm::width) x = norm(x, name, heads * d_.head_dim);
        x = split_heads(x, heads);
        return d_.qk_norm == QkNorm::head ? norm(x, name, d_.head_dim) : x;
    }
    Value split_heads(Value x, int64_t heads) {
        return g_.op("orr.reshape/1", {x}, Attrs().set("shape", std::vector<int64_t>{0, 0, heads, d_.head_dim}));
    }

    void make_ropes() {
        for (size_t i = 0; i < d_.ropes.size(); i++) {
            const RopeTable& r = d_.ropes[i];
            const std::string name = "rope." + std::to_string(i);
            Value inv = g_.constant(name + ".inv_freq", r.inv_freq);
            if (r.dynamic_factor > 0) inv = dynamic_frequencies(r, inv, name);
            inv_freq_.push_back(inv);
            long_inv_freq_.push_back(r.long_inv_freq.empty() ? Value{} : g_.constant(name + ".long_inv_freq", r.long_inv_freq));
        }
    }

    // See RopeTable: the frequencies follow the longest sequence of the batch.
    Value dynamic_frequencies(const RopeTable& r, Value inv, const std::string& name) {
        const double factor = r.dynamic_factor, base = static_cast<double>(r.dynamic_length);
        Value length = g_.op("orr.cast/1", {positions_}, Attrs().set("type", "f32"));
        length = g_.op("orr.reduce/1", {length}, Attrs().set("function", "max").set("axes", std::vector<int64_t>{0, 1}).set("keepdims", true));
        length = g_.op("orr.affine/1", {length}, Attrs().set("scale", 1.0).set("offset", 1.0));
        length = g_.op("orr.clamp/1", {length}, Attrs().set("min", base).set("max", 3e38));
        const Value growth = g_.op("orr.affine/1", {length}, Attrs().set("scale", factor / base).set("offset", 1 - factor));
        std::vector<float> powers;
        const auto width = static_cast<double>(2 * r.inv_freq.size());
        for (size_t i = 0; i < r.inv_freq.size(); i++) powers.push_back(static_cast<float>(-2.0 * static_cast<double>(i) / (width - 2)));
        Value scale = g_.op("orr.activation/1", {growth}, Attrs().set("function", "log"));
        scale = g_.op("orr.mul/1", {scale, g_.constant(name + ".powers", powers)});
        scale = g_.op("orr.activation/1", {scale}, Attrs().set("function", "exp"));
        scale = g_.op("orr.mul/1", {scale, inv});
        return g_.op("orr.reshape/1", {scale}, Attrs().set("shape", std::vector<int64_t>{static_cast<int64_t>(r.inv_freq.size())}));
    }

    Value rope(Value x) {
        const auto at = static_cast<size_t>(d_.layer_rope[static_cast<size_t>(layer_)]);
        const RopeTable& r = d_.ropes[at];
        Attrs attrs;
        attrs.set("interleaved", d_.rope_interleaved).set("scale", r.scale).set("switch_length", r.switch_length).set("long_scale", r.long_scale);
        return g_.op("orr.rope/1", {x, positions_, inv_freq_[at], long_inv_freq_[at]}, attrs);
    }

    Value append(const char* what, Value x, int64_t window) {
        const Value state = g_.cache(path(what), d_.kv_heads, d_.head_dim, batch_, tokens_, window);
        return g_.op("orr.cache_append/1", {state, x});
    }

    Value weight(const std::string& pattern, const std::vector<int64_t>& shape) { return g_.weight(numbered(pattern, layer_) + ".weight", shape); }
    struct Rows {
        int64_t begin, end;
    };
    // Of the weight's rows and columns those that are read; -1: all.
    Value linear(Value x, const std::string& pattern, int64_t out, int64_t in, bool bias, Rows rows = Rows{0, -1}, int64_t columns = -1) {
        if (rows.end < 0) rows.end = out;
        const Value w = part_of(g_, part_of(g_, weight(pattern, {out, in}), 0, out, rows.begin, rows.end), 1, in, 0, columns < 0 ? in : columns);
        if (!bias) return g_.op("orr.linear/1", {x, w});
        return g_.op("orr.linear/1", {x, w, part_of(g_, g_.weight(numbered(pattern, layer_) + ".bias", {out}), 0, out, rows.begin, rows.end)});
    }
    Value norm(Value x, const std::string& pattern, int64_t width) { return norm_by(x, weight(pattern, {width})); }
    Value norm_by(Value x, Value scale) { return g_.op("orr.rms_norm/1", {x, scale}, Attrs().set("eps", d_.norm_eps).set("weight_offset", d_.norm_offset)); }
    Value slice(Value x, int64_t start, int64_t end) { return g_.op("orr.slice/1", {x}, Attrs().set("axis", 2).set("start", start).set("end", end)); }
    Value last(Value x) { return g_.op("orr.slice/1", {x}, Attrs().set("axis", 1).set("start", -1).set("end", INT64_MAX)); }
    bool sparse() const { return !d_.layer_sparse.empty() && d_.layer_sparse[static_cast<size_t>(layer_)]; }
    std::string path(const char* what) const { return path_ + "." + what; }
    Value named(const char* what, Value x) { return g_.named(path(what), x); }

    const DecoderConfig& d_;
    Graph& g_;
    const bool last_only_;
    const orr_dim batch_, tokens_;
    const SkipRouters routers_;
    int64_t layer_ = 0;
    std::string path_;
    Value mask_, positions_;
    std::vector<Value> inv_freq_, long_inv_freq_;
};

}  // namespace

void build_decoder(const DecoderConfig& d, const orr_model_source&, std::string_view entry, Graph& g) { Builder(d, g, entry == "next").build(); }

const char* const* decoder_operators() {
    static const char* const ids[] = {"orr.embedding/1",    "orr.linear/1",  "orr.rms_norm/1", "orr.rope/1",       "orr.attention/1",
                                      "orr.cache_append/1", "orr.add/1",     "orr.mul/1",      "orr.activation/1", "orr.reshape/1",
                                      "orr.slice/1",        "orr.softcap/1", "orr.affine/1",   "orr.clamp/1",      "orr.cast/1",
                                      "orr.reduce/1",       "orr.sample/1",  "orr.attention_probabilities/1", nullptr};
    return ids;
}

const char* const* sparse_decoder_operators() {
    static const std::vector<const char*> ids = [] {
        std::vector<const char*> v;
        for (const char* const* p = decoder_operators(); *p; p++) v.push_back(*p);
        v.insert(v.end(), {"orr.moe_route/1", "orr.moe_ffn/1", nullptr});
        return v;
    }();
    return ids.data();
}

}  // namespace orrery
