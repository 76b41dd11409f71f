#include "common/encoder.h"

#include <algorithm>
#include <cmath>

#include "model/layer_plan.h"

namespace orrery {

namespace {

// MPNet counts 32 buckets up to a distance of 128, whatever its config says: rows beyond the 32nd are never read.
constexpr int64_t kBuckets = 32;
constexpr double kMaxDistance = 128;

// Half of the buckets for each direction; the first half of those one a distance, the rest in logarithmic steps.
// distance: key position minus query position. Raffel et al. 2020, arXiv:1910.10683, section 2.1
int32_t relative_bucket(int64_t distance) {
    constexpr int64_t half = kBuckets / 2, exact = half / 2;
    const int64_t offset = distance > 0 ? half : 0, n = std::abs(distance);
    if (n < exact) return static_cast<int32_t>(offset + n);
    const float step =
        std::log(static_cast<float>(n) / static_cast<float>(exact)) / static_cast<float>(std::log(kMaxDistance / static_cast<double>(exact)));
    return static_cast<int32_t>(offset + std::min(exact + static_cast<int64_t>(step * static_cast<float>(half - exact)), half - 1));
}

class Builder {
  public:
    Builder(const EncoderConfig& e, Graph& g) : e_(e), g_(g), batch_(g.symbol("B")), tokens_(g.symbol("T")) {}

    void build() {
        const Value ids = g_.input("input_ids", ORR_TYPE_I32, {batch_, tokens_});
        const bool exits = read_exit_rules(g_).any();  // padding has no say in them
        mask_ = g_.input("attention_mask", ORR_TYPE_I32, {batch_, tokens_}, ORR_INPUT_OPTIONAL | (exits ? ORR_INPUT_FILL_ONE : 0));
        Value x = g_.op("orr.embedding/1", {ids, weight(e_.names.tokens, {e_.vocabulary, e_.hidden})});
        if (!e_.names.types.empty()) {
            const Value types = g_.input("token_type_ids", ORR_TYPE_I32, {batch_, tokens_}, ORR_INPUT_FILL_ZERO);
            x = g_.op("orr.add/1", {x, g_.op("orr.embedding/1", {types, weight(e_.names.types, {e_.type_count, e_.hidden})})});
        }
        const Value positions = e_.padding >= 0 ? counted_positions(ids) : g_.positions("position_ids", batch_, tokens_);
        x = g_.op("orr.add/1", {x, g_.op("orr.embedding/1", {positions, weight(e_.names.positions, {e_.positions, e_.hidden})})});
        x = g_.named("embed.output", norm(x, e_.names.embed_norm));
        if (!e_.names.relative.empty()) bias_ = relative_bias();
        x = run_layers(g_, x, e_.layers, [&](const LayerStep& step, Value in) { return block(step, in); }, "", exits ? mask_ : Value{});
        g_.output("last_hidden_state", x);
        if (!e_.names.pooler.empty()) g_.output("pooler_output", g_.named("pooler_output", pool(x)));
    }

  private:
    // x = norm(x + attention(x)), then x = norm(x + ffn(x)). What is passed by takes its norm with it.
    Value block(const LayerStep& step, Value x) {
        layer_ = step.layer;
        path_ = step.path;
        if (step.mixer) x = norm(g_.op("orr.add/1", {x, attention(x)}), e_.names.attention_norm);
        if (step.ffn) {
            const int64_t units = step.ffn_width.of(e_.ffn);
            const Value up = named("ffn.up", linear(x, e_.names.up, e_.ffn, e_.hidden, units));
            const Value act = named("ffn.act", g_.op("orr.activation/1", {up}, Attrs().set("function", e_.activation)));
            const Value y = named("ffn.output", linear(act, e_.names.down, e_.hidden, e_.ffn, -1, units));
            x = norm(g_.op("orr.add/1", {x, y}), e_.names.ffn_norm);
        }
        return step.mixer || step.ffn ? named("output", x) : x;
    }

    Value attention(Value x) {
        const Value q = named("mixer.q", heads(linear(x, e_.names.q, e_.hidden, e_.hidden)));
        const Value k = named("mixer.k", heads(linear(x, e_.names.k, e_.hidden, e_.hidden)));
        const Value v = named("mixer.v", heads(linear(x, e_.names.v, e_.hidden, e_.hidden)));
        const Value out = g_.op("orr.attention/1", {q, k, v, bias_, mask_});
        named("mixer.probabilities", g_.op("orr.attention_probabilities/1", {q, k, bias_, mask_}));  // for taps; nothing reads it
        const Value context = named("mixer.context", g_.op("orr.reshape/1", {out}, Attrs().set("shape", std::vector<int64_t>{0, 0, e_.hidden})));
        return named("mixer.output", linear(context, e_.names.o, e_.hidden, e_.hidden));
    }

    // The host's position_ids, else padding + the number of non-padding tokens so far; padding itself stays at `padding`.
    Value counted_positions(Value ids) {
        const Value padding = g_.constant_i32("padding", {static_cast<int32_t>(e_.padding)});
        Value mask = g_.op("orr.compare/1", {ids, padding}, Attrs().set("function", "ne"));
        mask = g_.op("orr.cast/1", {mask}, Attrs().set("type", "i32"));
        Value count = g_.op("orr.cumsum/1", {mask}, Attrs().set("axis", 1));
        count = g_.op("orr.add/1", {g_.op("orr.mul/1", {count, mask}), padding});
        const Value given = g_.input("position_ids", ORR_TYPE_I32, {batch_, tokens_}, ORR_INPUT_OPTIONAL);
        // Joining passes over an absent input, so the first column is the given one where there is one.
        const Attrs column = Attrs().set("shape", std::vector<int64_t>{0, 0, 1});
        const Value both =
            g_.op("orr.concat/1", {g_.op("orr.reshape/1", {given}, column), g_.op("orr.reshape/1", {count}, column)}, Attrs().set("axis", 2));
        const Value first = g_.op("orr.slice/1", {both}, Attrs().set("axis", 2).set("start", 0).set("end", 1));
        return g_.op("orr.reshape/1", {first}, Attrs().set("shape", std::vector<int64_t>{0, 0}));
    }

    // [1, H, T, T]: entry (q, k) depends on k - q alone, and never on position_ids.
    Value relative_bias() {
        const int64_t reach = e_.positions - 1;
        std::vector<int32_t> buckets;
        for (int64_t d = -reach; d <= reach; d++) buckets.push_back(relative_bucket(d));
        const Value table = weight(e_.names.relative, {e_.relative_rows, e_.heads});
        const Value by_distance = g_.op("orr.embedding/1", {g_.constant_i32("relative.buckets", buckets), table});
        const Value positions = g_.op("orr.slice/1", {g_.positions(nullptr, batch_, tokens_)}, Attrs().set("axis", 0).set("start", 0).set("end", 1));
        const Value keys = g_.op("orr.reshape/1", {positions}, Attrs().set("shape", std::vector<int64_t>{1, 1, -1}));
        const Value queries = g_.op("orr.reshape/1", {positions}, Attrs().set("shape", std::vector<int64_t>{1, -1, 1}));
        Value distance = g_.op("orr.sub/1", {keys, queries});
        distance = g_.op("orr.add/1", {distance, g_.constant_i32("relative.reach", {static_cast<int32_t>(reach)})});
        const Value bias = g_.op("orr.embedding/1", {distance, by_distance});
        return g_.named("relative_bias", g_.op("orr.transpose/1", {bias}, Attrs().set("perm", std::vector<int64_t>{0, 3, 1, 2})));
    }

    // tanh of a projection of the first token.
    Value pool(Value x) {
        x = g_.op("orr.slice/1", {x}, Attrs().set("axis", 1).set("start", 0).set("end", 1));
        x = g_.op("orr.reshape/1", {x}, Attrs().set("shape", std::vector<int64_t>{0, e_.hidden}));
        return g_.op("orr.activation/1", {linear(x, e_.names.pooler, e_.hidden, e_.hidden)}, Attrs().set("function", "tanh"));
    }

    Value heads(Value x) { return g_.op("orr.reshape/1", {x}, Attrs().set("shape", std::vector<int64_t>{0, 0, e_.heads, e_.hidden / e_.heads})); }
    Value weight(const std::string& pattern, const std::vector<int64_t>& shape) { return g_.weight(numbered(pattern, layer_) + ".weight", shape); }
    Value bias(const std::string& pattern, int64_t n) { return g_.weight(numbered(pattern, layer_) + ".bias", {n}); }
    // first_out, first_in: as many of the first rows and columns; -1: all.
    Value linear(Value x, const std::string& pattern, int64_t out, int64_t in, int64_t first_out = -1, int64_t first_in = -1) {
        if (first_out < 0) first_out = out;
        const Value w = part_of(g_, part_of(g_, weight(pattern, {out, in}), 0, out, 0, first_out), 1, in, 0, first_in < 0 ? in : first_in);
        return g_.op("orr.linear/1", {x, w, part_of(g_, bias(pattern, out), 0, out, 0, first_out)});
    }
    Value norm(Value x, const std::string& pattern) {
        return g_.op("orr.layer_norm/1", {x, weight(pattern, {e_.hidden}), bias(pattern, e_.hidden)}, Attrs().set("eps", e_.norm_eps));
    }
    Value named(const char* what, Value x) { return g_.named(path_ + "." + what, x); }

    const EncoderConfig& e_;
    Graph& g_;
    const orr_dim batch_, tokens_;
    int64_t layer_ = 0;
    std::string path_;
    Value mask_, bias_;
};

}  // namespace

EncoderConfig encoder_from_hf(const ModelConfig& c, const orr_model_source& source, const std::string& prefix) {
    EncoderConfig e;
    e.layers = c.size("num_hidden_layers", 10000);
    e.hidden = c.size("hidden_size");
    e.heads = c.size("num_attention_heads");
    require_multiple(c, "hidden_size", e.hidden, "num_attention_heads", e.heads);
    e.ffn = c.size("intermediate_size");
    e.vocabulary = c.size("vocab_size");
    e.positions = c.size("max_position_embeddings");
    e.norm_eps = c.positive_or("layer_norm_eps", 1e-12);
    e.activation = activation_name(c, "hidden_act", "gelu");
    c.require_flag("is_decoder", false);
    const std::string type = c.text_or("position_embedding_type", "absolute");
    if (type != "absolute") c.refuse("position_embedding_type", type, "absolute");
    EncoderNames& n = e.names;
    const std::string layer = prefix + "encoder.layer.{}.";
    n.tokens = prefix + "embeddings.word_embeddings";
    n.positions = prefix + "embeddings.position_embeddings";
    n.embed_norm = prefix + "embeddings.LayerNorm";
    n.q = layer + "attention.self.query";
    n.k = layer + "attention.self.key";
    n.v = layer + "attention.self.value";
    n.o = layer + "attention.output.dense";
    n.attention_norm = layer + "attention.output.LayerNorm";
    n.up = layer + "intermediate.dense";
    n.down = layer + "output.dense";
    n.ffn_norm = layer + "output.LayerNorm";
    if (has_tensor(source, prefix + "pooler.dense.weight")) n.pooler = prefix + "pooler.dense";
    return e;
}

// Where GGUF keeps the weights of BERT's and DistilBERT's modules, for adapters (orrery/ext/adapters.h).
static Json gguf_modules(const EncoderNames& n) {
    const std::string bert = "encoder.layer.{}.", distil = "transformer.layer.{}.";
    Json list = Json::array();
    const auto add = [&](const char* module, const char* other, const std::string& tensor) {
        list.push_back({{"module", bert + module}, {"tensor", tensor}});
        list.push_back({{"module", distil + other}, {"tensor", tensor}});
    };
    add("attention.self.query", "attention.q_lin", n.q);
    add("attention.self.key", "attention.k_lin", n.k);
    add("attention.self.value", "attention.v_lin", n.v);
    add("attention.output.dense", "attention.out_lin", n.o);
    add("intermediate.dense", "ffn.lin1", n.up);
    add("output.dense", "ffn.lin2", n.down);
    return list;
}

void finish_encoder(EncoderConfig& e, const ModelConfig& c, const orr_model_source& source, int64_t longest) {
    Summary& s = e.summary;
    s.entries = {"forward"};
    s.tasks = {"embedding"};
    s.context_length = longest;
    s.vocabulary = e.vocabulary;
    // A buffer, the heads of pre-training, and a pooler that the class does not use.
    s.ignored_tensors = {"*position_ids", "cls.*", "lm_head.*", "vocab_*", "*pooler.*"};
    Json info = {{"layers", e.layers},
                 {"heads", e.heads},
                 {"kv_heads", e.heads},
                 {"head_dim", e.hidden / e.heads},
                 {"hidden", e.hidden},
                 {"ffn", e.ffn},
                 {"vocabulary", e.vocabulary},
                 {"pooler", !e.names.pooler.empty()},
                 {"parameters", parameter_count(source)}};
    if (c.gguf())
        info["modules"] = gguf_modules(e.names);
    else
        info["ignored"] = c.unused();
    s.info_json = json_text(info);
    declare_layer_controls(s, e.layers, true);
    declare_ffn_width(s, e.layers);
    declare_exit_controls(s, false);
}

void build_encoder(const EncoderConfig& e, const orr_model_source&, std::string_view, Graph& g) { Builder(e, g).build(); }

const char* const* encoder_operators() {
    static const char* const ids[] = {
        "orr.embedding/1", "orr.linear/1", "orr.layer_norm/1", "orr.attention/1", "orr.attention_probabilities/1", "orr.add/1",  "orr.sub/1",    "orr.mul/1",       "orr.activation/1",
        "orr.reshape/1",   "orr.slice/1",  "orr.concat/1",     "orr.compare/1",   "orr.cast/1", "orr.cumsum/1", "orr.transpose/1", "orr.affine/1",
        nullptr};
    return ids;
}

}  // namespace orrery
