// Mamba. Gu & Dao 2023, arXiv:2312.00752
// Upstream: huggingface/transformers src/transformers/models/mamba/modeling_mamba.py (MambaForCausalLM); see README.md.
#include <climits>

#include "model/arch.h"
#include "model/config.h"
#include "model/layer_plan.h"
#include "model/sampling_graph.h"

namespace orrery {

namespace {

struct Mamba {
    Summary summary;
    // Tensor names without ".weight" and ".bias"; "{}" stands for the layer.
    std::string tokens, norm, head, input_norm, in, conv, x, dt, a, d, out;
    bool a_is_log = true;           // A_log: A = -exp(A_log); GGUF files hold A
    bool conv_is_depthwise = true;  // [C, 1, K]; GGUF files hold [C, K]
    bool use_bias = false, conv_bias = true, tied = true;
    int64_t layers = 0, hidden = 0, inner = 0, state = 0, kernel = 0, rank = 0, vocabulary = 0;
    double norm_eps = 1e-5;
};

constexpr int64_t kMostLayers = 10000;

void read_hf(Mamba& m, const ModelConfig& c, const orr_model_source& source) {
    const std::string prefix = tensor_prefix(source, {"backbone.", ""}, "embeddings.weight"), mixer = prefix + "layers.{}.mixer.";
    m.tokens = prefix + "embeddings";
    m.norm = prefix + "norm_f";
    m.head = "lm_head";
    m.input_norm = prefix + "layers.{}.norm";
    m.in = mixer + "in_proj";
    m.conv = mixer + "conv1d";
    m.x = mixer + "x_proj";
    m.dt = mixer + "dt_proj";
    m.a = mixer + "A_log";
    m.d = mixer + "D";
    m.out = mixer + "out_proj";
    m.layers = c.size("num_hidden_layers", kMostLayers);
    m.hidden = c.size("hidden_size");
    const double inner = c.positive_or("expand", 2) * static_cast<double>(m.hidden);
    if (inner < 1 || inner > INT32_MAX)
        throw Error(ORR_CORRUPT,
                    c.label("expand") + " " + std::to_string(c.number("expand")) + " times hidden_size " + std::to_string(m.hidden) + " is no width");
    m.inner = static_cast<int64_t>(inner);
    m.state = c.size_or("state_size", 16);
    m.kernel = c.size_or("conv_kernel", 4);
    const Json* rank = c.find("time_step_rank");
    m.rank = !rank || *rank == "auto" ? (m.hidden + 15) / 16 : c.size("time_step_rank");
    m.vocabulary = c.size("vocab_size");
    m.norm_eps = c.positive_or("layer_norm_epsilon", 1e-5);
    m.use_bias = c.flag_or("use_bias", false);
    m.conv_bias = c.flag_or("use_conv_bias", true);
    m.tied = c.flag_or("tie_word_embeddings", true) || !has_tensor(source, "lm_head.weight");
    const std::string act = c.text_or("hidden_act", "silu");
    if (act != "silu" && act != "swish") c.refuse("hidden_act", act, "silu");
}

void read_gguf(Mamba& m, const ModelConfig& c, const orr_model_source& source) {
    m.tokens = "token_embd";
    m.norm = "output_norm";
    m.head = "output";
    m.input_norm = "blk.{}.attn_norm";
    m.in = "blk.{}.ssm_in";
    m.conv = "blk.{}.ssm_conv1d";
    m.x = "blk.{}.ssm_x";
    m.dt = "blk.{}.ssm_dt";
    m.a = "blk.{}.ssm_a";
    m.d = "blk.{}.ssm_d";
    m.out = "blk.{}.ssm_out";
    m.a_is_log = m.conv_is_depthwise = false;
    m.layers = c.size("block_count", kMostLayers);
    m.hidden = c.size("embedding_length");
    m.inner = c.size("ssm.inner_size");
    m.state = c.size("ssm.state_size");
    m.kernel = c.size("ssm.conv_kernel");
    m.rank = c.size("ssm.time_step_rank");
    m.vocabulary = gguf_vocabulary(c, source);
    m.norm_eps = c.positive("attention.layer_norm_rms_epsilon");
    m.use_bias = has_tensor(source, "blk.0.ssm_in.bias");
    m.conv_bias = has_tensor(source, "blk.0.ssm_conv1d.bias");
    m.tied = !has_tensor(source, "output.weight");
    c.require_flag("ssm.dt_b_c_rms", false);
}

Mamba read(const orr_model_source& source) {
    const ModelConfig c(source);
    Mamba m;
    if (c.gguf()) {
        read_gguf(m, c, source);
    } else {
        read_hf(m, c, source);
    }
    if (m.kernel < 2) throw Error(ORR_UNSUPPORTED, "the convolution spans " + std::to_string(m.kernel) + " tokens, wanted 2 or more");
    m.summary.entries = {"forward", "next"};
    m.summary.tasks = {"text_generation"};
    m.summary.vocabulary = m.vocabulary;
    if (m.tied) m.summary.ignored_tensors = {"lm_head.weight"};
    Json info = {{"layers", m.layers},         {"hidden", m.hidden},      {"inner", m.inner},
                 {"state", m.state},           {"conv_kernel", m.kernel}, {"time_step_rank", m.rank},
                 {"vocabulary", m.vocabulary}, {"tied", m.tied},          {"parameters", parameter_count(source)},
                 {"samples", true}};
    if (m.tied) info["modules"] = {{{"module", "lm_head"}, {"tensor", m.tokens}, {"tied", true}}};  // of adapters
    if (!c.gguf()) info["ignored"] = c.unused();
    m.summary.info_json = json_text(info);
    declare_layer_controls(m.summary, m.layers, false);
    return m;
}

class Builder {
  public:
    Builder(const Mamba& m, Graph& g, bool last_only) : m_(m), g_(g), last_only_(last_only), batch_(g.symbol("B")), tokens_(g.symbol("T")) {}

    void build() {
        const Value ids = g_.input("input_ids", ORR_TYPE_I32, {batch_, tokens_});
        if (!last_only_) {  // transformers takes it off for what continues; a prompt alone needs none
            const Value mask = g_.input("attention_mask", ORR_TYPE_I32, {batch_, tokens_}, ORR_INPUT_FILL_ONE);
            mask_ = g_.op("orr.reshape/1", {g_.op("orr.cast/1", {mask}, Attrs().set("type", "f32"))}, Attrs().set("shape", std::vector<int64_t>{0, 0, 1}));
        }
        const Value table = g_.weight(m_.tokens + ".weight", {m_.vocabulary, m_.hidden});
        Value x = g_.named("embed.output", g_.op("orr.embedding/1", {ids, table}));
        x = LayerPlan(g_, m_.layers).run(g_, x, [&](const LayerStep& step, Value in) {
            layer_ = step.layer;
            path_ = step.path;
            return step.mixer ? named("output", g_.op("orr.add/1", {in, named("mixer.output", mixer(masked(norm(in, m_.input_norm))))})) : in;
        });
        if (last_only_) x = g_.op("orr.slice/1", {x}, Attrs().set("axis", 1).set("start", -1).set("end", INT64_MAX));
        x = g_.named("norm.output", norm(x, m_.norm));
        Value logits = g_.op("orr.linear/1", {x, m_.tied ? table : g_.weight(m_.head + ".weight", {m_.vocabulary, m_.hidden})});
        if (last_only_) logits = g_.op("orr.reshape/1", {logits}, Attrs().set("shape", std::vector<int64_t>{0, m_.vocabulary}));
        g_.output("logits", g_.named("logits", logits));
        if (last_only_) name_token(g_, logits, batch_);
        g_.advance(tokens_);
    }

  private:
    // u, z = in(mask * x); u = mask * silu(conv(u)); delta, B, C = x_proj(u); out(scan(u, dt(delta), A, B, C) * silu(z))
    Value mixer(Value x) {
        const Value both = linear(x, m_.in, 2 * m_.inner, m_.hidden, m_.use_bias);
        const Value z = named("mixer.gate", slice(both, m_.inner, 2 * m_.inner));
        const Value u = named("mixer.u", masked(convolution(slice(both, 0, m_.inner))));
        const Value parts = linear(u, m_.x, m_.rank + 2 * m_.state, m_.inner, false);
        const Value delta = named("mixer.delta", linear(slice(parts, 0, m_.rank), m_.dt, m_.inner, m_.rank, false));
        const Value b = named("mixer.b", slice(parts, m_.rank, m_.rank + m_.state));
        const Value c = named("mixer.c", slice(parts, m_.rank + m_.state, m_.rank + 2 * m_.state));
        const Value state = g_.recurrent(path("mixer.ssm"), {m_.inner, m_.state}, batch_);
        const std::vector<Value> in = {u, delta, transition(), b, c, g_.weight(numbered(m_.d, layer_), {m_.inner}), z, bias(m_.dt, m_.inner), state};
        const auto out = g_.ops("orr.selective_scan/1", in, Attrs().set("delta_softplus", true), 2);
        g_.set_state(path("mixer.ssm"), out[1]);
        return linear(named("mixer.context", out[0]), m_.out, m_.hidden, m_.inner, m_.use_bias);
    }

    // Padding as zeros. Times 1 every bit stays.
    Value masked(Value x) { return last_only_ ? x : g_.op("orr.mul/1", {x, mask_}); }

    Value convolution(Value u) {
        const std::string name = numbered(m_.conv, layer_) + ".weight";
        const Value w = m_.conv_is_depthwise ? g_.weight(name, {m_.inner, 1, m_.kernel}) : g_.weight(name, {m_.inner, m_.kernel});
        const Value state = g_.recurrent(path("mixer.conv"), {m_.inner, m_.kernel - 1}, batch_);
        const auto out =
            g_.ops("orr.causal_conv1d/1", {u, w, m_.conv_bias ? bias(m_.conv, m_.inner) : Value{}, state}, Attrs().set("activation", "silu"), 2);
        g_.set_state(path("mixer.conv"), out[1]);
        return out[0];
    }
    // A [C, N]
    Value transition() {
        Value a = g_.weight(numbered(m_.a, layer_), {m_.inner, m_.state});
        if (!m_.a_is_log) return a;
        // exp of a narrow type would round to that type.
        if (g_.info(a).type != ORR_TYPE_F32) a = g_.op("orr.cast/1", {a}, Attrs().set("type", "f32"));
        const Value e = g_.op("orr.activation/1", {a}, Attrs().set("function", "exp"));
        return g_.op("orr.activation/1", {e}, Attrs().set("function", "neg"));
    }

    Value bias(const std::string& pattern, int64_t n) { return g_.weight(numbered(pattern, layer_) + ".bias", {n}); }
    Value linear(Value x, const std::string& pattern, int64_t out, int64_t in, bool with_bias) {
        const Value w = g_.weight(numbered(pattern, layer_) + ".weight", {out, in});
        return with_bias ? g_.op("orr.linear/1", {x, w, bias(pattern, out)}) : g_.op("orr.linear/1", {x, w});
    }
    Value norm(Value x, const std::string& pattern) {
        return g_.op("orr.rms_norm/1", {x, g_.weight(numbered(pattern, layer_) + ".weight", {m_.hidden})}, Attrs().set("eps", m_.norm_eps));
    }
    Value slice(Value x, int64_t start, int64_t end) { return g_.op("orr.slice/1", {x}, Attrs().set("axis", 2).set("start", start).set("end", end)); }
    std::string path(const char* what) const { return path_ + "." + what; }
    Value named(const char* what, Value x) { return g_.named(path(what), x); }

    const Mamba& m_;
    Graph& g_;
    const bool last_only_;
    const orr_dim batch_, tokens_;
    int64_t layer_ = 0;
    std::string path_;
    Value mask_{};  // [B, T, 1]
};

void build(const Mamba& m, const orr_model_source&, std::string_view entry, Graph& g) { Builder(m, g, entry == "next").build(); }

}  // namespace
}  // namespace orrery

const orr_model_arch* orr_model_mamba() {
    static const char* const names[] = {"MambaForCausalLM", nullptr};
    static const char* const gguf[] = {"mamba", nullptr};
    static const char* const operators[] = {"orr.embedding/1",
                                            "orr.linear/1",
                                            "orr.rms_norm/1",
                                            "orr.causal_conv1d/1",
                                            "orr.selective_scan/1",
                                            "orr.add/1",
                                            "orr.mul/1",
                                            "orr.activation/1",
                                            "orr.reshape/1",
                                            "orr.slice/1",
                                            "orr.cast/1",
                                            "orr.affine/1",
                                            "orr.sample/1",
                                            nullptr};
    static const orr_model_arch arch =
        orrery::ModelArch<orrery::Mamba, orrery::read, orrery::build>::describe("mamba", "Mamba language models", names, gguf, operators);
    return &arch;
}
