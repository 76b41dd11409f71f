// Whisper. Radford et al. 2022, arXiv:2212.04356; upstream: transformers, models/whisper/modeling_whisper.py.
// input_features [B, mel, 2S] -> two convolutions, S tokens -> encoder; decoder tokens attend to themselves and to those.
#include "encoder/blocks.h"
#include "encoder/settings.h"

namespace orrery {
namespace {

using namespace encoder;

constexpr double kEps = 1e-5;  // nn.LayerNorm's own; upstream passes none

struct Tower {
    int64_t layers = 0, heads = 0, inner = 0;
};

class Whisper {
  public:
    explicit Whisper(const orr_model_source& source);
    void build(std::string_view entry, const orr_model_source& source, Graph& g) const;
    Summary summary;

  private:
    struct Decoding {
        orr_dim batch, tokens;
        Value key_mask;
        bool cached;    // keys and values of earlier tokens and of the encoder come from states
        Value encoded;  // else: the encoder's output
    };
    Attention attention(const std::string& name, int64_t heads) const;
    FeedForward ffn(const std::string& name, int64_t inner) const;
    Value encode(Net& net, orr_dim batch) const;
    Value cross_projection(Net& net, const std::string& path, int64_t layer, bool keys, Value encoded) const;
    void store_cross(Net& net, orr_dim batch, Value encoded) const;
    Value attend_self(Net& net, const std::string& path, const std::string& name, const Decoding& d, Value x) const;
    Value attend_cross(Net& net, const std::string& path, const std::string& name, int64_t layer, const Decoding& d, Value x) const;
    Value decoder_block(Net& net, const LayerStep& step, const Decoding& d, Value x) const;
    void keep_self(Net& net, const LayerStep& step, const Decoding& d, Value x) const;
    template <class Head>
    Value decode(Net& net, const Decoding& d, Value ids, bool last_only, Head&& head) const;
    Value head(Net& net, Graph& g, const orr_model_source& source, Value x) const;

    int64_t width_, mel_, vocabulary_, source_positions_, target_positions_;
    Tower encoder_, decoder_;
    std::string activation_;
    bool logits_, tied_;
};

Whisper::Whisper(const orr_model_source& source) {
    const ModelConfig c(source);
    logits_ = class_name(source, {"", "WhisperForConditionalGeneration", "WhisperModel"}) != "WhisperModel";
    width_ = c.size_or("d_model", 384);
    mel_ = c.size_or("num_mel_bins", 80);
    vocabulary_ = c.size_or("vocab_size", 51865);
    source_positions_ = c.size_or("max_source_positions", 1500);
    target_positions_ = c.size_or("max_target_positions", 448);
    encoder_ = {c.size_or("encoder_layers", 4), c.size_or("encoder_attention_heads", 6), c.size_or("encoder_ffn_dim", 1536)};
    decoder_ = {c.size_or("decoder_layers", 4), c.size_or("decoder_attention_heads", 6), c.size_or("decoder_ffn_dim", 1536)};
    require_multiple(c, "d_model", width_, "encoder_attention_heads", encoder_.heads);
    require_multiple(c, "d_model", width_, "decoder_attention_heads", decoder_.heads);
    activation_ = activation_name(c, "activation_function", "gelu");
    tied_ = c.flag_or("tie_word_embeddings", true);
    ignore(c, {"scale_embedding",        "dropout",
               "attention_dropout",      "activation_dropout",
               "encoder_layerdrop",      "decoder_layerdrop",
               "is_encoder_decoder",     "pad_token_id",
               "bos_token_id",           "eos_token_id",
               "decoder_start_token_id", "suppress_tokens",
               "begin_suppress_tokens",  "forced_decoder_ids",
               "apply_spec_augment",     "mask_time_prob",
               "mask_time_length",       "mask_time_min_masks",
               "mask_feature_prob",      "mask_feature_length",
               "mask_feature_min_masks", "median_filter_width",
               "use_weighted_layer_sum", "classifier_proj_size",
               "num_hidden_layers",      "max_length"});
    Json info;
    summary.entries = {"forward", "encode", "decode", "next"};
    summary.context_length = target_positions_;
    summary.vocabulary = vocabulary_;
    info["layers"] = encoder_.layers + decoder_.layers;
    info["encoder"] = {encoder_.layers, encoder_.heads, encoder_.inner};
    info["decoder"] = {decoder_.layers, decoder_.heads, decoder_.inner};
    info["heads"] = decoder_.heads;
    info["kv_heads"] = decoder_.heads;
    info["head_dim"] = width_ / decoder_.heads;
    info["hidden"] = width_;
    info["ffn"] = decoder_.inner;
    info["parameters"] = parameter_count(source);
    if (tied_ || !has_tensor(source, "proj_out.weight")) {
        const std::string prefix = tensor_prefix(source, {"model.", ""}, "encoder.conv1.weight");
        info["modules"] = {{{"module", "proj_out"}, {"tensor", prefix + "decoder.embed_tokens"}, {"tied", true}}};  // of adapters
    }
    info["ignored"] = c.unused();
    summary.info_json = json_text(info);
    declare_layer_controls(summary, encoder_.layers, true, "encoder.");
    declare_layer_controls(summary, decoder_.layers, true, "decoder.");
    declare_ffn_width(summary, encoder_.layers, "encoder.");
    declare_ffn_width(summary, decoder_.layers, "decoder.");
    declare_exit_controls(summary, false, "encoder.");
    declare_exit_controls(summary, logits_, "decoder.");
    summary.ignored_tensors = {"proj_out.weight"};  // tied
}

Attention Whisper::attention(const std::string& name, int64_t heads) const {
    Attention a;
    a.width = width_;
    a.heads = heads;
    a.q = name + "q_proj";
    a.k = name + "k_proj";
    a.v = name + "v_proj";
    a.output = name + "out_proj";
    a.k_bias = false;
    return a;
}

FeedForward Whisper::ffn(const std::string& name, int64_t inner) const {
    FeedForward f;
    f.width = width_;
    f.inner = inner;
    f.up = name + "fc1";
    f.down = name + "fc2";
    f.activation = activation_;
    return f;
}

// Convolutions always end in gelu, whatever activation_function says.
Value Whisper::encode(Net& net, orr_dim batch) const {
    Graph& g = net.g;
    const Value features = g.input("input_features", ORR_TYPE_F32, {batch, mel_, 2 * source_positions_});
    const auto convolve = [&](const std::string& name, Value x, int64_t width_in, int64_t stride, const char* layout_in) {
        const Value w = net.weight(name + ".weight", {width_, width_in, 3}), b = net.weight(name + ".bias", {width_});
        const Attrs attrs =
            Attrs().set("stride", stride).set("padding", 1).set("layout_in", layout_in).set("layout_out", "nlc").set("activation", "gelu");
        return g.op("orr.conv1d/1", {x, w, b}, attrs);
    };
    Value x = g.named("encoder.conv1.output", convolve("encoder.conv1", features, mel_, 1, "ncl"));
    x = g.named("encoder.conv2.output", convolve("encoder.conv2", x, width_, 2, "nlc"));
    const Value positions = net.parameter("encoder.embed_positions.weight", {source_positions_, width_});
    x = g.named("encoder.embed.output", net.add(x, net.reshape(positions, {1, source_positions_, width_})));
    const auto one = [&](const LayerStep& step, Value in) {
        const std::string name = "encoder.layers." + std::to_string(step.layer) + ".";
        PreNormBlock b;
        b.attention = attention(name + "self_attn.", encoder_.heads);
        b.ffn = ffn(name, encoder_.inner);
        b.attention_norm = name + "self_attn_layer_norm";
        b.ffn_norm = name + "final_layer_norm";
        b.eps = kEps;
        return pre_norm_block(net, step, b, in);
    };
    x = run_layers(g, x, encoder_.layers, one, "encoder.");
    return g.named("encoder.norm.output", net.layer_norm("encoder.layer_norm", x, width_, kEps));
}

std::string cross_state(int64_t layer, bool keys) { return "decoder.layers." + std::to_string(layer) + (keys ? ".cross.k" : ".cross.v"); }

// Keys or values of the encoder's output for one decoder layer, [B, S, H, D].
Value Whisper::cross_projection(Net& net, const std::string& path, int64_t layer, bool keys, Value encoded) const {
    const std::string name = "decoder.layers." + std::to_string(layer) + ".encoder_attn." + (keys ? "k_proj" : "v_proj");
    const Value x = net.linear(name, encoded, width_, width_, !keys);
    return net.g.named(path + (keys ? ".k" : ".v"), net.split_heads(x, decoder_.heads, width_));
}

void Whisper::store_cross(Net& net, orr_dim batch, Value encoded) const {
    Graph& g = net.g;
    for (int64_t i = 0; i < decoder_.layers; i++) {
        for (const bool keys : {true, false}) {
            const Value fresh = cross_projection(net, "decoder.layers." + std::to_string(i) + ".cross", i, keys, encoded);
            const Value state = g.cache(cross_state(i, keys), decoder_.heads, width_ / decoder_.heads, batch, source_positions_, 0, ORR_STATE_FROZEN);
            g.op("orr.cache_append/1", {state, fresh});
        }
    }
}

Value Whisper::attend_self(Net& net, const std::string& path, const std::string& name, const Decoding& d, Value x) const {
    Graph& g = net.g;
    Attention a = attention(name + "self_attn.", decoder_.heads);
    a.causal = true;
    a.key_mask = d.key_mask;
    if (!d.cached) return attend(net, path, a, x);
    const Value q = net.linear(a.q, x, width_, width_);
    const Value k = net.linear(a.k, x, width_, width_, false);
    const Value v = net.linear(a.v, x, width_, width_);
    const auto appended = [&](const char* part, Value value) {
        const Value fresh = g.named(path + part, net.split_heads(value, decoder_.heads, width_));
        const Value state = g.cache(path + part, decoder_.heads, width_ / decoder_.heads, d.batch, d.tokens);
        return g.op("orr.cache_append/1", {state, fresh});
    };
    const Value keys = appended(".k", k), values = appended(".v", v);
    const Value query = g.named(path + ".q", net.split_heads(q, decoder_.heads, width_));
    return project(net, path, a, attend_to(net, path, a, query, keys, values));
}

Value Whisper::attend_cross(Net& net, const std::string& path, const std::string& name, int64_t layer, const Decoding& d, Value x) const {
    Graph& g = net.g;
    const Attention a = attention(name + "encoder_attn.", decoder_.heads);
    const Value query = g.named(path + ".q", net.split_heads(net.linear(a.q, x, width_, width_), decoder_.heads, width_));
    const auto part = [&](bool keys) {
        if (!d.cached) return cross_projection(net, path, layer, keys, d.encoded);
        return g.cache(cross_state(layer, keys), decoder_.heads, width_ / decoder_.heads, d.batch, 0, 0, ORR_STATE_FROZEN);
    };
    const Value keys = part(true), values = part(false);
    return project(net, path, a, attend_to(net, path, a, query, keys, values));
}

Value Whisper::decoder_block(Net& net, const LayerStep& step, const Decoding& d, Value x) const {
    const std::string& path = step.path;
    const std::string name = "decoder.layers." + std::to_string(step.layer) + ".";
    const auto normed = [&](const char* which) { return net.layer_norm(name + which, x, width_, kEps); };
    if (step.mixer) x = net.add(x, attend_self(net, path + ".mixer", name, d, normed("self_attn_layer_norm")));
    x = net.add(x, attend_cross(net, path + ".cross", name, step.layer, d, normed("encoder_attn_layer_norm")));
    FeedForward fed = ffn(name, decoder_.inner);
    fed.first = step.ffn_width;
    if (step.ffn) x = net.add(x, feed_forward(net, path + ".ffn", fed, normed("final_layer_norm")));
    return net.g.named(path + ".output", x);
}

// Keys and values of tokens that left the stack before this layer, from the state that they left with; those of the encoder stand.
void Whisper::keep_self(Net& net, const LayerStep& step, const Decoding& d, Value x) const {
    if (!step.mixer || !d.cached) return;
    Graph& g = net.g;
    const std::string name = "decoder.layers." + std::to_string(step.layer) + ".self_attn";
    const Value normed = net.layer_norm(name + "_layer_norm", x, width_, kEps);
    for (const bool keys : {true, false}) {
        const Value fresh = net.linear(name + (keys ? ".k_proj" : ".v_proj"), normed, width_, width_, !keys);
        const Value state = g.cache(step.path + (keys ? ".mixer.k" : ".mixer.v"), decoder_.heads, width_ / decoder_.heads, d.batch, d.tokens);
        g.op("orr.cache_append/1", {state, net.split_heads(fresh, decoder_.heads, width_)});
    }
}

// head(x) of the last state, [B, T, V] or, of the last token alone, [B, V].
template <class Head>
Value Whisper::decode(Net& net, const Decoding& d, Value ids, bool last_only, Head&& head) const {
    Graph& g = net.g;
    const Value positions = g.positions("decoder_position_ids", d.batch, d.tokens);
    const Value words = g.op("orr.embedding/1", {ids, net.weight("decoder.embed_tokens.weight", {vocabulary_, width_})});
    const Value places = g.op("orr.embedding/1", {positions, net.weight("decoder.embed_positions.weight", {target_positions_, width_})});
    Value x = g.named("decoder.embed.output", net.add(words, places));
    const LayerPlan plan(g, decoder_.layers, "decoder.");
    const auto one = [&](const LayerStep& step, Value in) { return decoder_block(net, step, d, in); };
    const auto normed = [&](Value in) { return net.layer_norm("decoder.layer_norm", in, width_, kEps); };
    const ExitRules rules = read_exit_rules(g, "decoder.", {decoder_.layers, width_, logits_ ? vocabulary_ : 0, true});
    if (!rules.any()) {
        x = plan.run(g, x, one);
        if (last_only) x = net.reshape(net.slice(x, 1, -1, INT64_MAX), {0, width_});
        return head(g.named("decoder.norm.output", normed(x)));
    }
    ExitParts parts;
    if (logits_) parts.logits = [&](Value at) { return head(normed(at)); };
    parts.positions = positions;
    parts.norm = [&](Value at, const ExitHeads::Affine* own) { return own ? g.op("orr.layer_norm/1", {at, own->weight, own->bias}, Attrs().set("eps", kEps)) : normed(at); };
    ExitingStack stack(g, rules, parts);
    x = plan.run(g, x, stack, one, [&](const LayerStep& step, Value at) { keep_self(net, step, d, at); });
    if (last_only) x = net.slice(x, 1, -1, INT64_MAX);
    x = g.named("decoder.norm.output", normed(x));
    const Value y = stack.predict([&] { return head(x); });
    return last_only ? net.reshape(y, {0, logits_ ? vocabulary_ : width_}) : y;
}

Value Whisper::head(Net& net, Graph& g, const orr_model_source& source, Value x) const {
    if (!logits_) return x;
    Net outer(g, source);
    const bool own = !tied_ && outer.has("proj_out.weight");
    const Value w = own ? outer.weight("proj_out.weight", {vocabulary_, width_}) : net.weight("decoder.embed_tokens.weight", {vocabulary_, width_});
    return g.op("orr.linear/1", {x, w, Value{}});
}

void Whisper::build(std::string_view entry, const orr_model_source& source, Graph& g) const {
    const Net probe(g, source);
    Net net(g, source, probe.has("model.encoder.conv1.weight") ? "model." : "");
    const orr_dim batch = g.symbol("B");
    if (entry == "encode") {
        const Value encoded = encode(net, batch);
        store_cross(net, batch, encoded);
        g.output("encoder_last_hidden_state", encoded);
        return;
    }
    const bool cached = entry != "forward";
    const orr_dim tokens = g.symbol("T");
    const Value ids = g.input("decoder_input_ids", ORR_TYPE_I32, {batch, tokens}, cached ? 0 : ORR_INPUT_OPTIONAL);
    const Value key_mask = g.input("decoder_attention_mask", ORR_TYPE_I32, {batch, g.symbol("S_mask")}, ORR_INPUT_OPTIONAL);
    const Value encoded = cached ? Value{} : encode(net, batch);
    const Value result = decode(net, {batch, tokens, key_mask, cached, encoded}, ids, entry == "next", [&](Value x) { return head(net, g, source, x); });
    if (logits_)
        g.output("logits", g.named("logits", result));
    else
        g.output("last_hidden_state", result);
    if (cached)
        g.advance(tokens);
    else
        g.output("encoder_last_hidden_state", encoded);
}

}  // namespace
}  // namespace orrery

const orr_model_arch* orr_model_whisper() {
    using orrery::Whisper;
    static const char* const names[] = {"WhisperForConditionalGeneration", "WhisperModel", "whisper", nullptr};
    static const char* const operators[] = {"orr.conv1d/1",    "orr.embedding/1",    "orr.linear/1",     "orr.layer_norm/1",
                                            "orr.attention/1", "orr.attention_probabilities/1", "orr.cache_append/1", "orr.activation/1", "orr.add/1",
                                            "orr.reshape/1",   "orr.slice/1",        "orr.affine/1", "orr.cast/1",       nullptr};
    static const orr_model_arch arch = orrery::encoder::describe<Whisper>("whisper", "Whisper: speech to text", names, operators);
    return &arch;
}
