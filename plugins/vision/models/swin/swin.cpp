// Swin. Liu et al. 2021, arXiv:2103.14030; upstream: transformers, models/swin/modeling_swin.py.
// pixel_values [B, C, H, W] -> last_hidden_state [B, L, E], pooler_output [B, E]; with a classifier: logits [B, labels].
//
// Shifting, padding to whole windows and cutting into windows are one gather of token rows by a constant table, and so is the
// way back. The relative position bias and the mask of shifted windows are one constant [1 or windows, H, w*w, w*w].
#include <algorithm>

#include "encoder/blocks.h"
#include "encoder/settings.h"
#include "windows.hpp"

namespace orrery {
namespace {

using namespace encoder;

struct Stage {
    int64_t index, first, depth, heads, width;  // first: of its blocks, which count through all stages
    Grid grid;  // of its blocks
};

class Swin {
  public:
    explicit Swin(const orr_model_source& source);
    void build(std::string_view entry, const orr_model_source& source, Graph& g) const;
    Summary summary;

  private:
    void describe_sizes(const orr_model_source& source, const ModelConfig& c);
    Value embed(Net& net, Value pixels) const;
    Value position_bias(Net& net, const Stage& stage, const std::string& name, const std::string& path, int64_t shift) const;
    Value window_attention(Net& net, const Stage& stage, const LayerStep& step, Value x) const;
    Value block(Net& net, const Stage& stage, const LayerStep& step, Value x) const;
    const Stage& stage_of(int64_t layer) const;
    Value run_layers(Net& net, Value x) const;
    Value merge(Net& net, const Stage& stage, Value x) const;

    int64_t channels_, window_;
    std::pair<int64_t, int64_t> image_, patch_;
    double mlp_ratio_, eps_;
    bool qkv_bias_, absolute_, classifier_;
    std::string activation_;
    std::vector<Stage> stages_;
};

constexpr double kTorchEps = 1e-5;  // nn.LayerNorm's own, where upstream passes none

Swin::Swin(const orr_model_source& source) {
    const ModelConfig c(source);
    classifier_ = class_name(source, {"SwinModel", "SwinForImageClassification"}) == "SwinForImageClassification";
    channels_ = c.size_or("num_channels", 3);
    window_ = c.size_or("window_size", 7);
    image_ = extent(c, "image_size", 224);
    patch_ = extent(c, "patch_size", 4);
    mlp_ratio_ = c.positive_or("mlp_ratio", 4.0);
    eps_ = c.positive_or("layer_norm_eps", 1e-5);
    qkv_bias_ = c.flag_or("qkv_bias", true);
    absolute_ = c.flag_or("use_absolute_embeddings", false);
    activation_ = activation_name(c, "hidden_act", "gelu");
    const int64_t width = c.size_or("embed_dim", 96);
    const std::vector<int64_t> depths = sizes(c, "depths", {2, 2, 6, 2}), heads = sizes(c, "num_heads", {3, 6, 12, 24});
    if (heads.size() < depths.size() || depths.size() > 16) {  // upstream leaves heads beyond the last stage unread
        throw Error(ORR_CORRUPT, "config.json: depths has " + std::to_string(depths.size()) + " stages (16 at most), num_heads has " +
                                     std::to_string(heads.size()));
    }
    Grid grid{(image_.first + patch_.first - 1) / patch_.first, (image_.second + patch_.second - 1) / patch_.second};
    int64_t first = 0;
    for (size_t i = 0; i < depths.size(); first += depths[i++]) {
        const Stage stage{static_cast<int64_t>(i), first, depths[i], heads[i], width << i, grid};
        require_multiple(c, "embed_dim of a stage", stage.width, "its num_heads", stage.heads);
        if (std::min(grid.height, grid.width) < window_) {
            throw Error(ORR_UNSUPPORTED, "config.json: window_size " + std::to_string(window_) + " is larger than the " +
                                             std::to_string(grid.height) + " x " + std::to_string(grid.width) + " patches of stage " +
                                             std::to_string(i) + "; the position bias of the checkpoint holds whole windows only");
        }
        stages_.push_back(stage);
        grid = {(grid.height + 1) / 2, (grid.width + 1) / 2};
    }
    ignore(c, {"hidden_dropout_prob", "attention_probs_dropout_prob", "drop_path_rate", "encoder_stride", "hidden_size", "num_layers", "out_features",
               "out_indices", "stage_names", "num_labels", "path_norm"});
    describe_sizes(source, c);
}

void Swin::describe_sizes(const orr_model_source& source, const ModelConfig& c) {
    summary.entries = {"forward"};
    Json info;
    std::vector<int64_t> depths, heads, widths;
    int64_t layers = 0;
    for (const Stage& s : stages_) {
        depths.push_back(s.depth);
        heads.push_back(s.heads);
        widths.push_back(s.width);
        layers += s.depth;
    }
    info["layers"] = layers;
    info["depths"] = depths;
    info["heads"] = heads;
    info["kv_heads"] = heads;
    info["head_dim"] = widths[0] / heads[0];
    info["hidden"] = widths;
    info["ffn"] = static_cast<int64_t>(mlp_ratio_ * static_cast<double>(widths.back()));
    info["window"] = window_;
    info["image"] = {channels_, image_.first, image_.second};
    info["patch"] = {patch_.first, patch_.second};
    info["parameters"] = parameter_count(source);
    info["ignored"] = c.unused();
    // Module names of transformers since 5, which adapters are saved with; checkpoints keep the older ones.
    const std::string prefix = has_tensor(source, "swin.embeddings.norm.weight") ? "swin." : "";
    static constexpr std::pair<const char*, const char*> modules[] = {{"attention.q_proj", "attention.self.query"}, {"attention.k_proj", "attention.self.key"}, {"attention.v_proj", "attention.self.value"},
                                                                      {"attention.o_proj", "attention.output.dense"}, {"mlp.fc1", "intermediate.dense"}, {"mlp.fc2", "output.dense"}};
    for (size_t s = 0; s < stages_.size(); s++)
        for (const auto& [module, tensor] : modules) {
            const std::string stage = prefix + "encoder.layers." + std::to_string(s) + ".blocks.{}.";
            info["modules"].push_back({{"module", stage + module}, {"tensor", stage + tensor}});
        }
    summary.info_json = json_text(info);
    summary.ignored_tensors = {"*relative_position_index", "*mask_token"};
    declare_layer_controls(summary, layers, true);
    declare_ffn_width(summary, layers);
}

Value Swin::embed(Net& net, Value pixels) const {
    Graph& g = net.g;
    const int64_t width = stages_[0].width;
    const Grid grid = stages_[0].grid;
    const int64_t below = grid.height * patch_.first - image_.first, right = grid.width * patch_.second - image_.second;
    if (below || right) pixels = net.pad(pixels, {0, 0, 0, 0}, {0, 0, below, right});
    const std::string projection = "embeddings.patch_embeddings.projection";
    const Value w = net.weight(projection + ".weight", {width, channels_, patch_.first, patch_.second});
    const Value b = net.weight(projection + ".bias", {width});
    Value x =
        g.op("orr.conv2d/1", {pixels, w, b}, Attrs().set("stride", std::vector<int64_t>{patch_.first, patch_.second}).set("layout_out", "tokens"));
    x = net.layer_norm("embeddings.norm", g.named("embed.patches", x), width, kTorchEps);
    if (absolute_) x = net.add(x, net.parameter("embeddings.position_embeddings", {1, grid.height * grid.width, width}));
    return g.named("embed.output", x);
}

// Constant inputs throughout: computed once, at load.
Value Swin::position_bias(Net& net, const Stage& stage, const std::string& name, const std::string& path, int64_t shift) const {
    Graph& g = net.g;
    const int64_t area = window_ * window_, side = 2 * window_ - 1;
    const Value table = net.parameter(name + "attention.self.relative_position_bias_table", {side * side, stage.heads});
    const Value index = g.constant_i32(path + ".mixer.bias_index", relative_index(window_));
    const Value bias = net.reshape(net.transpose(net.gather(table, index, 0), {1, 0}), {1, stage.heads, area, area});
    if (!shift) return bias;
    const std::vector<float> mask = shift_mask(stage.grid, window_, shift);
    const int64_t windows = static_cast<int64_t>(mask.size()) / (area * area);
    return net.add(bias, g.constant(path + ".mixer.shift_mask", mask, {windows, 1, area, area}));
}

std::string block_name(const Stage& stage, const LayerStep& step) {
    return "encoder.layers." + std::to_string(stage.index) + ".blocks." + std::to_string(step.layer - stage.first) + ".";
}

Value Swin::window_attention(Net& net, const Stage& stage, const LayerStep& step, Value x) const {
    Graph& g = net.g;
    const int64_t number = step.layer - stage.first;
    const std::string name = block_name(stage, step);
    const std::string& path = step.path;
    const int64_t width = stage.width, area = window_ * window_;
    // One window high or wide: nothing to shift (upstream: set_shift_and_window_size).
    const int64_t shift = number % 2 && std::min(stage.grid.height, stage.grid.width) > window_ ? window_ / 2 : 0;
    const Grid padded = stage.grid.padded_to(window_);

    Value normed = net.layer_norm(name + "layernorm_before", x, width, eps_);
    if (padded.height != stage.grid.height || padded.width != stage.grid.width) {
        normed = net.reshape(normed, {0, stage.grid.height, stage.grid.width, width});
        normed = net.pad(normed, {0, 0, 0, 0}, {0, padded.height - stage.grid.height, padded.width - stage.grid.width, 0});
        normed = net.reshape(normed, {0, padded.height * padded.width, width});
    }
    const WindowTables tables = window_tables(stage.grid, window_, shift);
    const bool whole = tables.in_order();  // one window wide: already windows
    const int64_t tokens = padded.height * padded.width;
    if (!whole) normed = net.gather(normed, g.constant_i32(path + ".mixer.to_windows", tables.to_windows), 1);

    Attention a;
    a.width = width;
    a.heads = stage.heads;
    a.q = name + "attention.self.query";
    a.k = name + "attention.self.key";
    a.v = name + "attention.self.value";
    a.output = name + "attention.output.dense";
    a.q_bias = a.k_bias = a.v_bias = qkv_bias_;
    a.bias = position_bias(net, stage, name, path, shift);
    a.probabilities = path + ".mixer.probabilities";
    // The output weights act on rows, so the rows go home first: the sum below can join that product.
    Value context = net.reshape(self_attend(net, path + ".windows", a, net.reshape(normed, {-1, area, width})), {-1, tokens, width});
    if (!whole) context = net.gather(context, g.constant_i32(path + ".mixer.from_windows", tables.from_windows), 1);
    return project(net, path + ".mixer", a, g.named(path + ".mixer.context", context));
}

Value Swin::block(Net& net, const Stage& stage, const LayerStep& step, Value x) const {
    const std::string name = block_name(stage, step);
    if (step.mixer) x = net.add(x, window_attention(net, stage, step, x));
    if (!step.ffn) return step.mixer ? net.g.named(step.path + ".output", x) : x;
    FeedForward f;
    f.width = stage.width;
    f.inner = static_cast<int64_t>(mlp_ratio_ * static_cast<double>(stage.width));
    f.up = name + "intermediate.dense";
    f.down = name + "output.dense";
    f.activation = activation_;
    f.first = step.ffn_width;
    const Value fed = feed_forward(net, step.path + ".ffn", f, net.layer_norm(name + "layernorm_after", x, stage.width, eps_));
    return net.g.named(step.path + ".output", net.add(x, fed));
}

// Four neighbours side by side, normalised, halved in width: [B, h*w, E] -> [B, ceil(h/2)*ceil(w/2), 2E].
Value Swin::merge(Net& net, const Stage& stage, Value x) const {
    Graph& g = net.g;
    const std::string name = "encoder.layers." + std::to_string(stage.index) + ".downsample.";
    const std::string path = "stages." + std::to_string(stage.index) + ".merge";
    const Grid even = stage.grid.padded_to(2);
    if (even.height != stage.grid.height || even.width != stage.grid.width) {
        x = net.reshape(x, {0, stage.grid.height, stage.grid.width, stage.width});
        x = net.pad(x, {0, 0, 0, 0}, {0, even.height - stage.grid.height, even.width - stage.grid.width, 0});
        x = net.reshape(x, {0, even.height * even.width, stage.width});
    }
    x = net.gather(x, g.constant_i32(path + ".order", merge_order(even)), 1);
    x = net.reshape(x, {0, even.height * even.width / 4, 4 * stage.width});
    x = net.layer_norm(name + "norm", x, 4 * stage.width, kTorchEps);
    return g.named(path + ".output", net.linear(name + "reduction", x, 4 * stage.width, 2 * stage.width, false));
}

const Stage& Swin::stage_of(int64_t layer) const {
    const auto after = std::find_if(stages_.begin(), stages_.end(), [&](const Stage& s) { return s.first > layer; });
    return *(after - 1);
}

// Blocks in the plan's order, with a merge wherever the next ones are of a later stage, and up to the last stage behind them all. There is no way back.
Value Swin::run_layers(Net& net, Value x) const {
    Graph& g = net.g;
    const LayerPlan plan(g, stages_.back().first + stages_.back().depth);
    size_t at = 0;
    for (const std::vector<LayerStep>& side_by_side : plan.steps()) {
        for (const LayerStep& step : side_by_side) {
            const auto stage = static_cast<size_t>(stage_of(step.layer).index);
            if (stage < at || (&step != side_by_side.data() && stage != at))
                throw Error(ORR_INVALID_ARGUMENT, "control layer_plan: layer " + std::to_string(step.layer) + " of stage " + std::to_string(stage) + " stands " +
                                                      (&step == side_by_side.data() ? "behind" : "beside") + " one of stage " + std::to_string(at) + ", whose tokens are others");
            for (; at < stage; at++) x = merge(net, stages_[at], x);
        }
        x = LayerPlan::run(g, side_by_side, x, [&](const LayerStep& step, Value in) { return block(net, stages_[at], step, in); });
    }
    for (; at + 1 < stages_.size(); at++) x = merge(net, stages_[at], x);
    return x;
}

void Swin::build(std::string_view, const orr_model_source& source, Graph& g) const {
    const Net probe(g, source);
    Net net(g, source, probe.has("swin.embeddings.norm.weight") ? "swin." : "");
    const Value pixels = g.input("pixel_values", ORR_TYPE_F32, {g.symbol("B"), channels_, image_.first, image_.second});
    Value x = run_layers(net, embed(net, pixels));
    const int64_t width = stages_.back().width;
    x = g.named("norm.output", net.layer_norm("layernorm", x, width, eps_));
    const Value pooled = g.named("pooler.output", net.reduce("mean", x, {1}, false));
    if (classifier_) {
        Net head(g, source);
        const int64_t labels = head.has("classifier.weight") ? tensor_shape(source, "classifier.weight", 2)[0] : -1;
        g.output("logits", g.named("logits", head.linear("classifier", pooled, width, labels)));
        return;
    }
    g.output("last_hidden_state", x);
    g.output("pooler_output", pooled);
}

}  // namespace
}  // namespace orrery

const orr_model_arch* orr_model_swin() {
    using orrery::Swin;
    static const char* const names[] = {"SwinModel", "SwinForImageClassification", "swin", nullptr};
    static const char* const operators[] = {
        "orr.conv2d/1",    "orr.linear/1", "orr.layer_norm/1", "orr.attention/1", "orr.attention_probabilities/1", "orr.activation/1", "orr.add/1", "orr.reshape/1",
        "orr.transpose/1", "orr.pad/1",    "orr.gather/1",     "orr.reduce/1",    "orr.cast/1",       "orr.affine/1",    nullptr};
    static const orr_model_arch arch = orrery::encoder::describe<Swin>("swin", "Swin Transformer: attention in shifted windows", names, operators);
    return &arch;
}
