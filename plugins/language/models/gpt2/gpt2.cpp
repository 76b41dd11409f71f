// GPT-2. Radford et al. 2019, "Language Models are Unsupervised Multitask Learners"
// Upstream: huggingface/transformers src/transformers/models/gpt2/modeling_gpt2.py (GPT2LMHeadModel); see README.md.
#include <climits>
#include <cmath>

#include "model/arch.h"
#include "model/config.h"
#include "model/layer_plan.h"
#include "model/sampling_graph.h"
#include "model/skip_routers.h"

namespace orrery {

namespace {

struct Gpt2 {
    Summary summary;
    // Tensor names without ".weight" and ".bias"; "{}" stands for the layer.
    std::string tokens, positions, norm, head, attention_norm, qkv, o, ffn_norm, up, down;
    bool transposed = false;  // Hugging Face stores [in, out]
    int64_t layers = 0, hidden = 0, heads = 0, ffn = 0, vocabulary = 0, context = 0;
    double norm_eps = 1e-5;
    std::string activation = "gelu_tanh";
    bool tied = true;
    std::vector<double> layer_scale;  // of the attention scores
};

constexpr int64_t kMostLayers = 10000;
// Of a layer: the names that adapters use, and those of GGUF (orrery/ext/adapters.h).
constexpr std::pair<const char*, const char*> kModules[] = {{"attn.c_attn", "attn_qkv"}, {"attn.c_proj", "attn_output"}, {"mlp.c_fc", "ffn_up"}, {"mlp.c_proj", "ffn_down"}};

void read_hf(Gpt2& m, const ModelConfig& c, const orr_model_source& source) {
    const std::string prefix = tensor_prefix(source, {"transformer.", ""}, "wte.weight"), layer = prefix + "h.{}.";
    m.tokens = prefix + "wte";
    m.positions = prefix + "wpe";
    m.norm = prefix + "ln_f";
    m.head = "lm_head";
    m.attention_norm = layer + "ln_1";
    m.qkv = layer + "attn.c_attn";
    m.o = layer + "attn.c_proj";
    m.ffn_norm = layer + "ln_2";
    m.up = layer + "mlp.c_fc";
    m.down = layer + "mlp.c_proj";
    m.transposed = true;
    m.layers = c.size("n_layer", kMostLayers);
    m.hidden = c.size("n_embd");
    m.heads = c.size("n_head");
    require_multiple(c, "n_embd", m.hidden, "n_head", m.heads);
    m.ffn = c.size_or("n_inner", 4 * m.hidden);
    m.vocabulary = c.size("vocab_size");
    m.context = c.size(c.has("n_positions") ? "n_positions" : "n_ctx");
    m.norm_eps = c.positive_or("layer_norm_epsilon", 1e-5);
    m.activation = activation_name(c, "activation_function", "gelu_new");
    m.tied = c.flag_or("tie_word_embeddings", true) || !has_tensor(source, "lm_head.weight");
    c.require_flag("add_cross_attention", false);
    const double width = static_cast<double>(m.hidden / m.heads);
    for (int64_t i = 0; i < m.layers; i++) {
        const double scale = c.flag_or("scale_attn_weights", true) ? 1 / std::sqrt(width) : 1;
        m.layer_scale.push_back(c.flag_or("scale_attn_by_inverse_layer_idx", false) ? scale / static_cast<double>(i + 1) : scale);
    }
}

void read_gguf(Gpt2& m, const ModelConfig& c, const orr_model_source& source) {
    m.tokens = "token_embd";
    m.positions = "position_embd";
    m.norm = "output_norm";
    m.head = "output";
    m.attention_norm = "blk.{}.attn_norm";
    m.qkv = "blk.{}.attn_qkv";
    m.o = "blk.{}.attn_output";
    m.ffn_norm = "blk.{}.ffn_norm";
    m.up = "blk.{}.ffn_up";
    m.down = "blk.{}.ffn_down";
    m.layers = c.size("block_count", kMostLayers);
    m.hidden = c.size("embedding_length");
    m.heads = c.size("attention.head_count");
    require_multiple(c, "embedding_length", m.hidden, "attention.head_count", m.heads);
    // Converters write 4 * hidden as feed_forward_length whatever the width; the tensor knows.
    m.ffn = tensor_shape(source, "blk.0.ffn_up.weight", 2)[0];
    m.vocabulary = gguf_vocabulary(c, source);
    m.context = tensor_shape(source, "position_embd.weight", 2)[0];
    m.norm_eps = c.positive("attention.layer_norm_epsilon");
    m.tied = !has_tensor(source, "output.weight");
    m.layer_scale.assign(static_cast<size_t>(m.layers), 1 / std::sqrt(static_cast<double>(m.hidden / m.heads)));
}

Gpt2 read(const orr_model_source& source) {
    const ModelConfig c(source);
    Gpt2 m;
    if (c.gguf()) {
        read_gguf(m, c, source);
    } else {
        read_hf(m, c, source);
    }
    m.summary.entries = {"forward", "next"};
    m.summary.tasks = {"text_generation"};
    m.summary.context_length = m.context;
    m.summary.vocabulary = m.vocabulary;
    m.summary.ignored_tensors = {"*.attn.bias", "*.attn.masked_bias"};  // older checkpoints keep the causal mask
    if (m.tied) m.summary.ignored_tensors.push_back("lm_head.weight");
    Json info = {
        {"layers", m.layers}, {"heads", m.heads},           {"kv_heads", m.heads}, {"head_dim", m.hidden / m.heads},       {"hidden", m.hidden},
        {"ffn", m.ffn},       {"vocabulary", m.vocabulary}, {"tied", m.tied},      {"parameters", parameter_count(source)}, {"samples", true}};
    if (c.gguf())
        for (const auto& [module, tensor] : kModules)
            info["modules"].push_back({{"module", std::string("transformer.h.{}.") + module}, {"tensor", std::string("blk.{}.") + tensor}});
    else
        info["ignored"] = c.unused();
    if (c.gguf())
        for (const auto& [module, tensor] : {std::pair{"transformer.wte", m.tokens}, std::pair{"transformer.wpe", m.positions}})
            info["modules"].push_back({{"module", module}, {"tensor", tensor}});
    if (m.tied) info["modules"].push_back({{"module", "lm_head"}, {"tensor", m.tokens}, {"tied", true}});
    m.summary.info_json = json_text(info);
    declare_layer_controls(m.summary, m.layers, true);
    declare_ffn_width(m.summary, m.layers);
    declare_exit_controls(m.summary, true);
    declare_skip_controls(m.summary);
    return m;
}

class Builder {
  public:
    Builder(const Gpt2& m, Graph& g, bool last_only) : m_(m), g_(g), last_only_(last_only), batch_(g.symbol("B")), tokens_(g.symbol("T")), routers_(g, m.layers, m.hidden) {}

    void build() {
        const Value ids = g_.input("input_ids", ORR_TYPE_I32, {batch_, tokens_});
        mask_ = g_.input("attention_mask", ORR_TYPE_I32, {batch_, g_.symbol("S_mask")}, ORR_INPUT_OPTIONAL);
        const Value positions = g_.positions("position_ids", batch_, tokens_);
        const Value table = g_.weight(m_.tokens + ".weight", {m_.vocabulary, m_.hidden});
        Value x = g_.op("orr.embedding/1", {ids, table});
        x = g_.op("orr.add/1", {x, g_.op("orr.embedding/1", {positions, g_.weight(m_.positions + ".weight", {m_.context, m_.hidden})})});
        g_.named("embed.output", x);
        const LayerPlan plan(g_, m_.layers);
        const auto one = [&](const LayerStep& step, Value in) { return block(step, in); };
        const auto head = [&](Value in) { return g_.op("orr.linear/1", {in, m_.tied ? table : g_.weight(m_.head + ".weight", {m_.vocabulary, m_.hidden})}); };
        const ExitRules rules = read_exit_rules(g_, "", {m_.layers, m_.hidden, m_.vocabulary, true});
        Value logits;
        if (!rules.any()) {
            logits = head(g_.named("norm.output", norm(plan.run(g_, x, one), m_.norm)));
        } else {
            ExitParts parts;
            parts.logits = [&](Value at) { return head(norm(at, m_.norm)); };
            if (last_only_) parts.narrow = [&](Value at) { return last(at); };
            parts.positions = positions;
            parts.norm = [&](Value at, const ExitHeads::Affine* own) {
                return own ? g_.op("orr.layer_norm/1", {at, own->weight, own->bias}, Attrs().set("eps", m_.norm_eps)) : norm(at, m_.norm);
            };
            ExitingStack stack(g_, rules, parts);
            x = plan.run(g_, x, stack, one, [&](const LayerStep& step, Value at) { keep(step, at); });
            x = g_.named("norm.output", norm(x, m_.norm));
            logits = stack.predict([&] { return head(x); });
        }
        if (last_only_) logits = g_.op("orr.reshape/1", {logits}, Attrs().set("shape", std::vector<int64_t>{0, m_.vocabulary}));
        g_.output("logits", g_.named("logits", logits));
        if (last_only_) name_token(g_, logits, batch_);
        g_.advance(tokens_);
    }

  private:
    // x + attention(norm(x)), then x + ffn(norm(x)). Entry "next" drops all but the last token once the last layer has attended.
    Value block(const LayerStep& step, Value x) {
        layer_ = step.layer;
        path_ = step.path;
        const bool drops = last_only_ && step.final;
        if (const Value router = step.mixer ? routers_.weight(g_, layer_) : Value{}) {
            x = routed_mixer(x, router, drops);
        } else if (step.mixer) {
            const Projection p = remember(norm(x, m_.attention_norm));
            Value context = attend(p);
            if (drops) context = last(context), x = last(x);
            x = g_.op("orr.add/1", {x, named("mixer.output", linear(context, m_.o, m_.hidden, m_.hidden))});
        } else if (drops) {
            x = last(x);
        }
        if (step.ffn) {
            const int64_t units = step.ffn_width.of(m_.ffn);
            const Value up = named("ffn.up", linear(norm(x, m_.ffn_norm), m_.up, m_.ffn, m_.hidden, units));
            const Value act = named("ffn.act", g_.op("orr.activation/1", {up}, Attrs().set("function", m_.activation)));
            x = g_.op("orr.add/1", {x, named("ffn.output", linear(act, m_.down, m_.hidden, m_.ffn, -1, units))});
        }
        return step.mixer || step.ffn ? named("output", x) : x;
    }
    // Keys and values of tokens that left the stack before this layer, from the state that they left with.
    void keep(const LayerStep& step, Value x) {
        layer_ = step.layer;
        path_ = step.path;
        if (!step.mixer) return;
        const Value all = linear(norm(x, m_.attention_norm), m_.qkv, 3 * m_.hidden, m_.hidden);
        append("mixer.k", part(all, 1));
        append("mixer.v", part(all, 2));
    }
    Value last(Value x) { return g_.op("orr.slice/1", {x}, Attrs().set("axis", 1).set("start", -1).set("end", INT64_MAX)); }

    // x + mixer(norm(x)) of the sequences that their router lets attend, x of the others; keys and values are kept of all.
    Value routed_mixer(Value x, Value router, bool drops) {
        const Value h = norm(x, m_.attention_norm);
        const Value gate = routers_.gate(g_, h, router, path_);
        const Projection p = remember(h);
        const Value rest = drops ? last(x) : x;
        Value y;
        g_.when(routers_.any(g_, gate), false, [&] {
            const Value context = attend(p);
            y = g_.op("orr.add/1", {rest, named("mixer.output", linear(drops ? last(context) : context, m_.o, m_.hidden, m_.hidden))});
        });
        return g_.op("orr.where/1", {gate, y, rest});
    }

    struct Projection {
        Value q, k, v;
    };
    Projection remember(Value x) {
        const Value all = linear(x, m_.qkv, 3 * m_.hidden, m_.hidden);
        const Value q = named("mixer.q", part(all, 0));
        const Value k = append("mixer.k", named("mixer.k", part(all, 1)));
        return {q, k, append("mixer.v", named("mixer.v", part(all, 2)))};
    }
    Value attend(const Projection& p) {
        Attrs attrs;
        attrs.set("scale", m_.layer_scale[static_cast<size_t>(layer_)]).set("causal", true);
        const Value out = g_.op("orr.attention/1", {p.q, p.k, p.v, Value{}, mask_}, attrs);
        named("mixer.probabilities", g_.op("orr.attention_probabilities/1", {p.q, p.k, Value{}, mask_}, attrs));  // for taps; nothing reads it
        return named("mixer.context", g_.op("orr.reshape/1", {out}, Attrs().set("shape", std::vector<int64_t>{0, 0, m_.hidden})));
    }
    // One third of the fused projection as [B, T, H, D].
    Value part(Value all, int64_t n) {
        const Value x = g_.op("orr.slice/1", {all}, Attrs().set("axis", 2).set("start", n * m_.hidden).set("end", (n + 1) * m_.hidden));
        return g_.op("orr.reshape/1", {x}, Attrs().set("shape", std::vector<int64_t>{0, 0, m_.heads, m_.hidden / m_.heads}));
    }
    Value append(const char* what, Value x) {
        return g_.op("orr.cache_append/1", {g_.cache(path(what), m_.heads, m_.hidden / m_.heads, batch_, tokens_), x});
    }
    // first_out, first_in: as many of the first rows and columns; -1: all.
    Value linear(Value x, const std::string& pattern, int64_t out, int64_t in, int64_t first_out = -1, int64_t first_in = -1) {
        const std::string name = numbered(pattern, layer_);
        const std::vector<int64_t> shape = m_.transposed ? std::vector<int64_t>{in, out} : std::vector<int64_t>{out, in};
        if (first_out < 0) first_out = out;
        const Value rows = part_of(g_, g_.weight(name + ".weight", shape), m_.transposed ? 1 : 0, out, 0, first_out);
        const Value w = part_of(g_, rows, m_.transposed ? 0 : 1, in, 0, first_in < 0 ? in : first_in);
        return g_.op("orr.linear/1", {x, w, part_of(g_, g_.weight(name + ".bias", {out}), 0, out, 0, first_out)},
                     Attrs().set("transposed", m_.transposed));
    }
    Value norm(Value x, const std::string& pattern) {
        const std::string name = numbered(pattern, layer_);
        return g_.op("orr.layer_norm/1", {x, g_.weight(name + ".weight", {m_.hidden}), g_.weight(name + ".bias", {m_.hidden})},
                     Attrs().set("eps", m_.norm_eps));
    }
    std::string path(const char* what) const { return path_ + "." + what; }
    Value named(const char* what, Value x) { return g_.named(path(what), x); }

    const Gpt2& m_;
    Graph& g_;
    const bool last_only_;
    const orr_dim batch_, tokens_;
    const SkipRouters routers_;
    int64_t layer_ = 0;
    std::string path_;
    Value mask_;
};

void build(const Gpt2& m, const orr_model_source&, std::string_view entry, Graph& g) { Builder(m, g, entry == "next").build(); }

}  // namespace
}  // namespace orrery

const orr_model_arch* orr_model_gpt2() {
    static const char* const names[] = {"GPT2LMHeadModel", nullptr};
    static const char* const gguf[] = {"gpt2", nullptr};
    static const char* const operators[] = {"orr.embedding/1", "orr.linear/1",     "orr.layer_norm/1", "orr.attention/1", "orr.attention_probabilities/1", "orr.cache_append/1",
                                            "orr.add/1",       "orr.activation/1", "orr.reshape/1",    "orr.slice/1",     "orr.affine/1",
                                            nullptr};
    static const orr_model_arch arch =
        orrery::ModelArch<orrery::Gpt2, orrery::read, orrery::build>::describe("gpt2", "GPT-2 language models", names, gguf, operators);
    return &arch;
}
