// ViT. Dosovitskiy et al. 2020, arXiv:2010.11929; upstream: transformers, models/vit/modeling_vit.py.
// pixel_values [B, C, H, W] -> last_hidden_state [B, 1 + N, E], pooler_output [B, P]; with a classifier: logits [B, labels].
#include "encoder/blocks.h"
#include "encoder/settings.h"

namespace orrery {
namespace {

using namespace encoder;

class Vit {
  public:
    explicit Vit(const orr_model_source& source);
    void build(std::string_view entry, const orr_model_source& source, Graph& g) const;
    Summary summary;

  private:
    Value embed(Net& net, Value pixels) const;
    PreNormBlock block(int64_t layer) const;

    int64_t width_, layers_, inner_, channels_, pooled_;
    std::pair<int64_t, int64_t> image_, patch_;
    PreNormBlock block_;
    std::string pooler_activation_;
    bool classifier_;
};

Vit::Vit(const orr_model_source& source) {
    const ModelConfig c(source);
    classifier_ = class_name(source, {"ViTModel", "ViTForImageClassification"}) == "ViTForImageClassification";
    width_ = c.size_or("hidden_size", 768);
    layers_ = c.size_or("num_hidden_layers", 12);
    inner_ = c.size_or("intermediate_size", 3072);
    channels_ = c.size_or("num_channels", 3);
    image_ = extent(c, "image_size", 224);
    patch_ = extent(c, "patch_size", 16);
    pooled_ = c.size_or("pooler_output_size", width_);
    pooler_activation_ = activation_name(c, "pooler_act", "tanh");
    require_patch(image_, patch_);
    block_.attention.width = block_.ffn.width = width_;
    block_.attention.heads = c.size_or("num_attention_heads", 12);
    require_multiple(c, "hidden_size", width_, "num_attention_heads", block_.attention.heads);
    if (c.has("head_dim") && c.size_or("head_dim", 0) != width_ / block_.attention.heads) {
        c.refuse("head_dim", std::to_string(c.size("head_dim")), "hidden_size / num_attention_heads");
    }
    block_.attention.q_bias = block_.attention.k_bias = block_.attention.v_bias = c.flag_or("qkv_bias", true);
    block_.ffn.inner = inner_;
    block_.ffn.activation = activation_name(c, "hidden_act", "gelu");
    block_.eps = c.positive_or("layer_norm_eps", 1e-12);
    ignore(c, {"hidden_dropout_prob", "attention_probs_dropout_prob", "encoder_stride", "num_labels"});
    summary.entries = {"forward"};
    Json info;
    info["layers"] = layers_;
    info["heads"] = block_.attention.heads;
    info["kv_heads"] = block_.attention.heads;
    info["head_dim"] = width_ / block_.attention.heads;
    info["hidden"] = width_;
    info["ffn"] = inner_;
    info["image"] = {channels_, image_.first, image_.second};
    info["patch"] = {patch_.first, patch_.second};
    info["parameters"] = parameter_count(source);
    info["ignored"] = c.unused();
    // Module names of transformers since 5, which adapters are saved with; checkpoints keep the older ones.
    const std::string prefix = has_tensor(source, "vit.embeddings.cls_token") ? "vit." : "";
    static constexpr std::pair<const char*, const char*> modules[] = {{"attention.q_proj", "attention.attention.query"}, {"attention.k_proj", "attention.attention.key"},
                                                                      {"attention.v_proj", "attention.attention.value"}, {"attention.o_proj", "attention.output.dense"},
                                                                      {"mlp.fc1", "intermediate.dense"},                 {"mlp.fc2", "output.dense"},
                                                                      {"layernorm_before", "layernorm_before"},          {"layernorm_after", "layernorm_after"}};
    for (const auto& [module, tensor] : modules)
        info["modules"].push_back({{"module", prefix + "layers.{}." + module}, {"tensor", prefix + "encoder.layer.{}." + tensor}});
    summary.info_json = json_text(info);
    declare_layer_controls(summary, layers_, true);
    declare_ffn_width(summary, layers_);
    declare_exit_controls(summary, false);
    summary.ignored_tensors = {"*pooler.*", "*mask_token"};
}

// Patches as tokens, the class token before them, learned positions added.
Value Vit::embed(Net& net, Value pixels) const {
    Graph& g = net.g;
    const int64_t count = (image_.first / patch_.first) * (image_.second / patch_.second);
    const std::string projection = "embeddings.patch_embeddings.projection";
    const Value w = net.weight(projection + ".weight", {width_, channels_, patch_.first, patch_.second});
    const Value b = net.weight(projection + ".bias", {width_});
    const Value patches = g.named(
        "embed.patches",
        g.op("orr.conv2d/1", {pixels, w, b}, Attrs().set("stride", std::vector<int64_t>{patch_.first, patch_.second}).set("layout_out", "tokens")));
    const Value cls = net.parameter("embeddings.cls_token", {1, 1, width_});
    const Value positions = net.parameter("embeddings.position_embeddings", {1, count + 1, width_});
    return g.named("embed.output", net.prepend_and_place(patches, cls, positions, count, width_));
}

PreNormBlock Vit::block(int64_t layer) const {
    const std::string name = "encoder.layer." + std::to_string(layer) + ".";
    PreNormBlock b = block_;
    b.attention.q = name + "attention.attention.query";
    b.attention.k = name + "attention.attention.key";
    b.attention.v = name + "attention.attention.value";
    b.attention.output = name + "attention.output.dense";
    b.ffn.up = name + "intermediate.dense";
    b.ffn.down = name + "output.dense";
    b.attention_norm = name + "layernorm_before";
    b.ffn_norm = name + "layernorm_after";
    return b;
}

void Vit::build(std::string_view, const orr_model_source& source, Graph& g) const {
    const Net probe(g, source);
    Net net(g, source, probe.has("vit.embeddings.cls_token") ? "vit." : "");
    const orr_dim batch = g.symbol("B");
    const Value pixels = g.input("pixel_values", ORR_TYPE_F32, {batch, channels_, image_.first, image_.second});
    Value x = embed(net, pixels);
    x = run_layers(g, x, layers_, [&](const LayerStep& step, Value in) { return pre_norm_block(net, step, block(step.layer), in); });
    x = g.named("norm.output", net.layer_norm("layernorm", x, width_, block_.eps));
    if (classifier_) {
        Net head(g, source);
        const int64_t labels = head.has("classifier.weight") ? tensor_shape(source, "classifier.weight", 2)[0] : -1;
        const Value first = net.reshape(net.slice(x, 1, 0, 1), {0, width_});
        g.output("logits", g.named("logits", head.linear("classifier", first, width_, labels)));
        return;
    }
    g.output("last_hidden_state", x);
    if (!net.has("pooler.dense.weight")) return;
    const Value first = net.reshape(net.slice(x, 1, 0, 1), {0, width_});
    const Value pooled = net.activation(pooler_activation_, net.linear("pooler.dense", first, width_, pooled_));
    g.output("pooler_output", g.named("pooler.output", pooled));
}

}  // namespace
}  // namespace orrery

const orr_model_arch* orr_model_vit() {
    using orrery::Vit;
    static const char* const names[] = {"ViTModel", "ViTForImageClassification", "vit", nullptr};
    static const char* const operators[] = {"orr.conv2d/1", "orr.linear/1",  "orr.layer_norm/1", "orr.attention/1", "orr.attention_probabilities/1", "orr.activation/1",
                                            "orr.add/1",    "orr.reshape/1", "orr.slice/1",      "orr.pad/1",       "orr.cast/1",
                                            "orr.affine/1", nullptr};
    static const orr_model_arch arch = orrery::encoder::describe<Vit>("vit", "Vision Transformer: images as sequences of patches", names, operators);
    return &arch;
}
