// CLIP. Radford et al. 2021, arXiv:2103.00020; upstream: transformers, models/clip/modeling_clip.py.
// Two pre-norm transformers: causal over text, bidirectional over image patches; each pooled at one token, projected, compared.
#include "encoder/blocks.h"
#include "encoder/settings.h"

namespace orrery {
namespace {

using namespace encoder;

struct Tower {
    int64_t width = 0, layers = 0, heads = 0, inner = 0;
    double eps = 1e-5;
    std::string activation;
};

struct TextConfig : Tower {
    int64_t vocabulary = 0, positions = 0, eos = 0, projection = 0;
};

struct VisionConfig : Tower {
    int64_t channels = 0, projection = 0;
    std::pair<int64_t, int64_t> image, patch;
};

struct Encoded {
    Value hidden, pooled;
};

class Clip {
  public:
    explicit Clip(const orr_model_source& source);
    void build(std::string_view entry, const orr_model_source& source, Graph& g) const;
    Summary summary;

  private:
    void read_text(const ModelConfig& c);
    void read_vision(const ModelConfig& c);
    void describe_sizes(const orr_model_source& source, const ModelConfig& c);
    PreNormBlock block(const Tower& tower, int64_t layer) const;
    Encoded encode_text(Graph& g, const orr_model_source& source) const;
    Encoded encode_image(Graph& g, const orr_model_source& source) const;
    Value project_text(Graph& g, const orr_model_source& source, Value pooled) const;
    Value project_image(Graph& g, const orr_model_source& source, Value pooled) const;
    void compare(Graph& g, const orr_model_source& source) const;

    bool has_text_ = false, has_vision_ = false, projected_ = false, both_ = false;
    TextConfig text_;
    VisionConfig vision_;
};

void read_tower(const ModelConfig& c, Tower& tower, int64_t width, int64_t inner, int64_t heads) {
    tower.width = c.size_or("hidden_size", width);
    tower.layers = c.size_or("num_hidden_layers", 12);
    tower.heads = c.size_or("num_attention_heads", heads);
    tower.inner = c.size_or("intermediate_size", inner);
    tower.eps = c.positive_or("layer_norm_eps", 1e-5);
    tower.activation = activation_name(c, "hidden_act", "quick_gelu");
    require_multiple(c, "hidden_size", tower.width, "num_attention_heads", tower.heads);
    ignore(c, {"attention_dropout", "dropout", "pad_token_id", "bos_token_id", "num_labels"});
}

void Clip::read_text(const ModelConfig& c) {
    has_text_ = true;
    read_tower(c, text_, 512, 2048, 8);
    text_.vocabulary = c.size_or("vocab_size", 49408);
    text_.positions = c.size_or("max_position_embeddings", 77);
    text_.eos = c.count_or("eos_token_id", 49407);
    text_.projection = c.size_or("projection_dim", 512);
}

void Clip::read_vision(const ModelConfig& c) {
    has_vision_ = true;
    read_tower(c, vision_, 768, 3072, 12);
    vision_.channels = c.size_or("num_channels", 3);
    vision_.image = extent(c, "image_size", 224);
    vision_.patch = extent(c, "patch_size", 32);
    vision_.projection = c.size_or("projection_dim", 512);
    require_patch(vision_.image, vision_.patch);
}

Clip::Clip(const orr_model_source& source) {
    const ModelConfig c(source);
    const std::string type = c.text_or("model_type", "clip");
    const std::string fallback = type == "clip_text_model" ? "CLIPTextModel" : type == "clip_vision_model" ? "CLIPVisionModel" : "CLIPModel";
    const std::string kind =
        class_name(source, {"", "CLIPModel", "CLIPTextModel", "CLIPTextModelWithProjection", "CLIPVisionModel", "CLIPVisionModelWithProjection"});
    const std::string name = kind.empty() ? fallback : kind;
    both_ = name == "CLIPModel";
    projected_ = both_ || name.ends_with("WithProjection");
    // A tower's class may stand over the config of the whole model or over its own.
    const bool nested = type == "clip";
    if (both_ || name.starts_with("CLIPText")) read_text(nested ? object(c, "text_config") : c);
    if (both_ || name.starts_with("CLIPVision")) read_vision(nested ? object(c, "vision_config") : c);
    if (both_) text_.projection = vision_.projection = c.size_or("projection_dim", 512);
    ignore(c, {"logit_scale_init_value", "text_config_dict", "vision_config_dict", "text_config", "vision_config", "projection_dim"});
    describe_sizes(source, c);
}

void Clip::describe_sizes(const orr_model_source& source, const ModelConfig& c) {
    summary.entries = {"forward"};
    Json info;
    if (both_) summary.entries.insert(summary.entries.end(), {"encode_text", "encode_image"});
    const Tower& first = has_vision_ ? static_cast<const Tower&>(vision_) : text_;
    if (has_text_) {
        summary.context_length = text_.positions;
        summary.vocabulary = text_.vocabulary;
    }
    info["layers"] = has_text_ && has_vision_ ? text_.layers + vision_.layers : first.layers;
    info["heads"] = first.heads;
    info["kv_heads"] = first.heads;
    info["head_dim"] = first.width / first.heads;
    info["hidden"] = first.width;
    info["ffn"] = first.inner;
    if (both_) info["text"] = {text_.layers, text_.heads, text_.width, text_.inner};
    if (projected_) info["projection"] = has_text_ ? text_.projection : vision_.projection;
    info["parameters"] = parameter_count(source);
    info["ignored"] = c.unused();
    summary.info_json = json_text(info);
    if (has_text_) declare_layer_controls(summary, text_.layers, true, "text."), declare_ffn_width(summary, text_.layers, "text."), declare_exit_controls(summary, false, "text.");
    if (has_vision_) declare_layer_controls(summary, vision_.layers, true, "vision."), declare_ffn_width(summary, vision_.layers, "vision."), declare_exit_controls(summary, false, "vision.");
    summary.ignored_tensors = {"*position_ids"};
    if (!both_) summary.ignored_tensors.insert(summary.ignored_tensors.end(), {"logit_scale", has_text_ ? "vision_model.*" : "text_model.*", has_text_ ? "visual_projection.*" : "text_projection.*"});
}

PreNormBlock Clip::block(const Tower& tower, int64_t layer) const {
    const std::string name = "encoder.layers." + std::to_string(layer) + ".";
    PreNormBlock b;
    b.attention.width = b.ffn.width = tower.width;
    b.attention.heads = tower.heads;
    b.attention.q = name + "self_attn.q_proj";
    b.attention.k = name + "self_attn.k_proj";
    b.attention.v = name + "self_attn.v_proj";
    b.attention.output = name + "self_attn.out_proj";
    b.ffn.inner = tower.inner;
    b.ffn.up = name + "mlp.fc1";
    b.ffn.down = name + "mlp.fc2";
    b.ffn.activation = tower.activation;
    b.attention_norm = name + "layer_norm1";
    b.ffn_norm = name + "layer_norm2";
    b.eps = tower.eps;
    return b;
}

// The prefix of a tower's weights: bare where a tower was saved by itself.
Net tower_net(Graph& g, const orr_model_source& source, const std::string& prefix, const char* probe) {
    const Net bare(g, source), named(g, source, prefix);
    return Net(g, source, !named.has(probe) && bare.has(probe) ? "" : prefix);
}

// input_ids [B, T] -> hidden [B, T, E], pooled [B, E] at the end-of-text token.
Encoded Clip::encode_text(Graph& g, const orr_model_source& source) const {
    Net net = tower_net(g, source, "text_model.", "embeddings.token_embedding.weight");
    const orr_dim batch = g.symbol("B"), tokens = g.symbol("T");
    const Value ids = g.input("input_ids", ORR_TYPE_I32, {batch, tokens});
    const bool exits = read_exit_rules(g, "text.").any();  // padding has no say in them
    const Value key_mask = g.input("attention_mask", ORR_TYPE_I32, {batch, tokens}, ORR_INPUT_OPTIONAL | (exits ? ORR_INPUT_FILL_ONE : 0));
    const Value positions = g.positions("position_ids", batch, tokens);
    const Value words = g.op("orr.embedding/1", {ids, net.weight("embeddings.token_embedding.weight", {text_.vocabulary, text_.width})});
    const Value places = g.op("orr.embedding/1", {positions, net.weight("embeddings.position_embedding.weight", {text_.positions, text_.width})});
    Value x = g.named("text.embed.output", net.add(words, places));
    const auto one = [&](const LayerStep& step, Value in) {
        PreNormBlock b = block(text_, step.layer);
        b.attention.causal = true;
        b.attention.key_mask = key_mask;
        return pre_norm_block(net, step, b, in);
    };
    x = run_layers(g, x, text_.layers, one, "text.", exits ? key_mask : Value{});
    x = g.named("text.norm.output", net.layer_norm("final_layer_norm", x, text_.width, text_.eps));
    // Configs of 2022 say eos_token_id 2 whatever the tokeniser's is; there the largest id is the end (transformers, PR 24773).
    Value score = ids;
    if (text_.eos != 2) {
        const Value eos = g.constant_i32("text.eos", {static_cast<int32_t>(text_.eos)});
        score = g.op("orr.cast/1", {g.op("orr.compare/1", {ids, eos}, Attrs().set("function", "eq"))}, Attrs().set("type", "i32"));
    }
    const Value end = g.named("text.end", g.op("orr.argmax/1", {score}, Attrs().set("axis", 1)));
    return {x, g.named("text.pooler.output", g.op("orr.gather_rows/1", {x, end}))};
}

// pixel_values [Bi, C, H, W] -> hidden [Bi, 1 + N, E], pooled [Bi, E] at the class token.
Encoded Clip::encode_image(Graph& g, const orr_model_source& source) const {
    Net net = tower_net(g, source, "vision_model.", "embeddings.class_embedding");
    const int64_t width = vision_.width;
    const int64_t count = (vision_.image.first / vision_.patch.first) * (vision_.image.second / vision_.patch.second);
    const Value pixels = g.input("pixel_values", ORR_TYPE_F32, {g.symbol("B_image"), vision_.channels, vision_.image.first, vision_.image.second});
    const Value w = net.weight("embeddings.patch_embedding.weight", {width, vision_.channels, vision_.patch.first, vision_.patch.second});
    const Attrs stride = Attrs().set("stride", std::vector<int64_t>{vision_.patch.first, vision_.patch.second}).set("layout_out", "tokens");
    const Value patches = g.named("vision.embed.patches", g.op("orr.conv2d/1", {pixels, w, Value{}}, stride));
    const Value cls = net.parameter("embeddings.class_embedding", {width});
    const Value positions = net.parameter("embeddings.position_embedding.weight", {count + 1, width});
    Value x = g.named("vision.embed.output", net.prepend_and_place(patches, cls, positions, count, width));
    x = g.named("vision.pre_norm.output", net.layer_norm("pre_layrnorm", x, width, vision_.eps));  // upstream's spelling
    x = run_layers(g, x, vision_.layers, [&](const LayerStep& step, Value in) { return pre_norm_block(net, step, block(vision_, step.layer), in); }, "vision.");
    const Value first = net.reshape(net.slice(x, 1, 0, 1), {0, width});
    return {x, g.named("vision.pooler.output", net.layer_norm("post_layernorm", first, width, vision_.eps))};
}

Value Clip::project_text(Graph& g, const orr_model_source& source, Value pooled) const {
    Net net(g, source);
    return g.named("text.projection", net.linear("text_projection", pooled, text_.width, text_.projection, false));
}
Value Clip::project_image(Graph& g, const orr_model_source& source, Value pooled) const {
    Net net(g, source);
    return g.named("vision.projection", net.linear("visual_projection", pooled, vision_.width, vision_.projection, false));
}

// Cosine of every text and every image, times exp(logit_scale).
void Clip::compare(Graph& g, const orr_model_source& source) const {
    Net net(g, source);
    const auto unit = [&](Value x) { return g.op("orr.l2_norm/1", {x}, Attrs().set("eps", 0.0)); };
    const Value text = g.named("text_embeds", unit(project_text(g, source, encode_text(g, source).pooled)));
    const Value image = g.named("image_embeds", unit(project_image(g, source, encode_image(g, source).pooled)));
    const Value scale = net.activation("exp", net.reshape(net.parameter("logit_scale", {}), {1}));
    const Value cosines = g.op("orr.matmul/1", {text, image}, Attrs().set("transpose_b", true));
    const Value per_text = g.named("logits_per_text", net.mul(cosines, scale));
    g.output("logits_per_image", g.named("logits_per_image", net.transpose(per_text, {1, 0})));
    g.output("logits_per_text", per_text);
    g.output("text_embeds", text);
    g.output("image_embeds", image);
}

void Clip::build(std::string_view entry, const orr_model_source& source, Graph& g) const {
    if (both_ && entry == "forward") return compare(g, source);
    const bool text = entry == "encode_text" || (entry == "forward" && has_text_);
    const Encoded encoded = text ? encode_text(g, source) : encode_image(g, source);
    g.output("last_hidden_state", encoded.hidden);
    g.output("pooler_output", encoded.pooled);
    if (!projected_) return;
    if (text)
        g.output("text_embeds", project_text(g, source, encoded.pooled));
    else
        g.output("image_embeds", project_image(g, source, encoded.pooled));
}

}  // namespace
}  // namespace orrery

const orr_model_arch* orr_model_clip() {
    using orrery::Clip;
    static const char* const names[] = {"CLIPModel",
                                        "CLIPTextModel",
                                        "CLIPTextModelWithProjection",
                                        "CLIPVisionModel",
                                        "CLIPVisionModelWithProjection",
                                        "clip",
                                        "clip_text_model",
                                        "clip_vision_model",
                                        nullptr};
    static const char* const operators[] = {"orr.embedding/1", "orr.conv2d/1",      "orr.linear/1",  "orr.layer_norm/1",
                                            "orr.attention/1", "orr.attention_probabilities/1", "orr.activation/1",  "orr.add/1",     "orr.mul/1",
                                            "orr.matmul/1",    "orr.l2_norm/1",     "orr.reshape/1", "orr.transpose/1",
                                            "orr.slice/1",     "orr.pad/1",         "orr.cast/1",    "orr.compare/1",
                                            "orr.argmax/1",    "orr.affine/1", "orr.gather_rows/1", nullptr};
    static const orr_model_arch arch = orrery::encoder::describe<Clip>("clip", "CLIP: text and images in one space", names, operators);
    return &arch;
}
