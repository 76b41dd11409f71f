// PatchTST. Nie et al. 2022, arXiv:2211.14730; upstream: transformers, models/patchtst/modeling_patchtst.py.
// past_values [B, L, C]: scaled per series, cut into overlapping patches, each channel a sequence of its own (and, with
// channel_attention, each time step one over channels) -> last_hidden_state [B, C, P, E] or prediction_outputs [B, horizon, C].
#include "encoder/blocks.h"
#include "encoder/settings.h"

namespace orrery {
namespace {

using namespace encoder;

class PatchTst {
  public:
    explicit PatchTst(const orr_model_source& source);
    void build(std::string_view entry, const orr_model_source& source, Graph& g) const;
    Summary summary;

  private:
    struct Scaled {
        Value data, loc, scale;  // loc, scale: absent without scaling
    };
    void read_head(const ModelConfig& c);
    void describe_sizes(const orr_model_source& source, const ModelConfig& c);
    Scaled scale(Net& net, Value values, Value observed) const;
    Scaled scale_std(Net& net, Value values, Value observed) const;
    Scaled scale_mean(Net& net, Value values, Value observed) const;
    Value embed(Net& net, Value data) const;
    Value norm(Net& net, const std::string& name, Value x) const;
    // x + f(norm(x)), or norm(x + f(x)). x: [rows, tokens, E]
    template <class Sublayer>
    Value sublayer(Net& net, const std::string& norm_name, Value x, Sublayer&& f) const;
    Value block(Net& net, const LayerStep& step, Value x) const;
    Value predict(Net& net, Value hidden, const Scaled& scaled) const;

    int64_t channels_, length_, patch_, stride_, patches_, layers_, width_, heads_, inner_, horizon_;
    double norm_eps_, minimum_scale_, default_scale_ = 0;
    bool share_embedding_, share_projection_, channel_attention_, pre_norm_, bias_, cls_, batch_norm_, prediction_, has_default_scale_;
    std::string activation_, scaling_, pooling_;
};

PatchTst::PatchTst(const orr_model_source& source) {
    const ModelConfig c(source);
    prediction_ = class_name(source, {"PatchTSTModel", "PatchTSTForPrediction"}) == "PatchTSTForPrediction";
    channels_ = c.size_or("num_input_channels", 1);
    length_ = c.size_or("context_length", 32);
    patch_ = c.size_or("patch_length", 1);
    stride_ = c.size_or("patch_stride", 1);
    if (length_ <= patch_) {
        throw Error(ORR_CORRUPT,
                    "config.json: context_length " + std::to_string(length_) + " must be greater than patch_length " + std::to_string(patch_));
    }
    patches_ = (length_ - patch_) / stride_ + 1;
    layers_ = c.size_or("num_hidden_layers", 3);
    width_ = c.size_or("d_model", 128);
    heads_ = c.size_or("num_attention_heads", 4);
    inner_ = c.size_or("ffn_dim", 512);
    require_multiple(c, "d_model", width_, "num_attention_heads", heads_);
    share_embedding_ = c.flag_or("share_embedding", true);
    channel_attention_ = c.flag_or("channel_attention", false);
    pre_norm_ = c.flag_or("pre_norm", true);
    bias_ = c.flag_or("bias", true);
    cls_ = c.flag_or("use_cls_token", false);
    norm_eps_ = c.positive_or("norm_eps", 1e-5);
    activation_ = activation_name(c, "activation_function", "gelu");
    const std::string norm = c.text_or("norm_type", "batchnorm");
    if (norm != "batchnorm" && norm != "layernorm") c.refuse("norm_type", norm, "batchnorm, layernorm");
    batch_norm_ = norm == "batchnorm";
    const std::string positions = c.text_or("positional_encoding_type", "sincos");  // both lie in the checkpoint
    if (positions != "sincos" && positions != "random") c.refuse("positional_encoding_type", positions, "sincos, random");
    read_head(c);
    ignore(c, {"attention_dropout",
               "positional_dropout",
               "path_dropout",
               "ff_dropout",
               "head_dropout",
               "mask_type",
               "random_mask_ratio",
               "num_forecast_mask_patches",
               "channel_consistent_masking",
               "unmasked_channel_indices",
               "mask_value",
               "num_targets",
               "output_range",
               "num_parallel_samples",
               "distribution_output",
               "loss",
               "prediction_length",
               "share_projection",
               "pooling_type",
               "is_encoder_decoder"});
    describe_sizes(source, c);
}

// Scaling, and what only predictions use.
void PatchTst::read_head(const ModelConfig& c) {
    const auto is_null = [&](const char* key) { return c.declared(key) && !c.has(key); };
    const Json* scaling = c.find("scaling");
    if (is_null("scaling")) {
        scaling_ = "none";
    } else if (scaling && scaling->is_boolean()) {
        scaling_ = scaling->get<bool>() ? "mean" : "none";
    } else {
        scaling_ = c.text_or("scaling", "std");
        if (scaling_ != "std" && scaling_ != "mean") c.refuse("scaling", scaling_, "std, mean, true, false, null");
    }
    minimum_scale_ = c.number_or("minimum_scale", scaling_ == "mean" ? 1e-10 : 1e-5);
    if (minimum_scale_ < 0) throw Error(ORR_CORRUPT, c.label("minimum_scale") + " is " + std::to_string(minimum_scale_) + ", wanted 0 or more");
    has_default_scale_ = c.has("default_scale");
    default_scale_ = c.number_or("default_scale", 0);
    if (c.count_or("scaling_dim", 1) != 1) c.refuse("scaling_dim", std::to_string(c.count_or("scaling_dim", 1)), "1");
    c.require_flag("keepdim", true);
    if (!prediction_) c.require_flag("do_mask_input", false);  // masks at random, for training
    ignore(c, {"do_mask_input"});
    share_projection_ = c.flag_or("share_projection", true);
    horizon_ = c.size_or("prediction_length", 24);
    pooling_ = is_null("pooling_type") ? "none" : c.text_or("pooling_type", "mean");
    if (pooling_ != "mean" && pooling_ != "max" && pooling_ != "none") c.refuse("pooling_type", pooling_, "mean, max, null");
    const std::string loss = is_null("loss") ? "null" : c.text_or("loss", "mse");
    if (prediction_ && loss != "mse") c.refuse("loss", loss, "mse (the heads that predict distributions are not built)");
}

void PatchTst::describe_sizes(const orr_model_source& source, const ModelConfig& c) {
    summary.entries = {"forward"};
    Json info;
    info["layers"] = layers_;
    info["heads"] = heads_;
    info["kv_heads"] = heads_;
    info["head_dim"] = width_ / heads_;
    info["hidden"] = width_;
    info["ffn"] = inner_;
    info["series"] = {length_, channels_};
    info["patch"] = {patch_, stride_, patches_};
    if (prediction_) info["horizon"] = horizon_;
    info["parameters"] = parameter_count(source);
    info["ignored"] = c.unused();
    summary.info_json = json_text(info);
    declare_layer_controls(summary, layers_, true);
    declare_ffn_width(summary, layers_);
    declare_exit_controls(summary, false);
    summary.ignored_tensors = {"*num_batches_tracked"};
    if (!prediction_) summary.ignored_tensors.push_back("head.*");
}

// loc = mean of what was observed, scale = sqrt(its variance + minimum_scale)
PatchTst::Scaled PatchTst::scale_std(Net& net, Value values, Value observed) const {
    Graph& g = net.g;
    const auto over_time = [&](Value x) { return net.reduce("sum", x, {1}, true); };
    const auto divide = [&](Value a, Value b) { return g.op("orr.div/1", {a, b}); };
    const Value count = g.op("orr.maximum/1", {over_time(observed), g.constant("scaler.one", {1.0f})});
    const Value loc = divide(over_time(net.mul(values, observed)), count);
    const Value centred = net.sub(values, loc);
    const Value variance = divide(over_time(net.activation("square", net.mul(centred, observed))), count);
    const Value scale = net.activation("sqrt", g.op("orr.affine/1", {variance}, Attrs().set("offset", minimum_scale_)));
    return {divide(centred, scale), loc, scale};
}

// scale = mean of |observed|; where nothing was observed: default_scale, or the channel's mean over the batch
PatchTst::Scaled PatchTst::scale_mean(Net& net, Value values, Value observed) const {
    Graph& g = net.g;
    const Value one = g.constant("scaler.one", {1.0f}), zero = g.constant("scaler.zero", {0.0f});
    const auto mean = [&](Value total, Value count) { return g.op("orr.div/1", {total, g.op("orr.maximum/1", {count, one})}); };
    const Value total = net.reduce("sum", net.activation("abs", net.mul(values, observed)), {1}, true);
    const Value count = net.reduce("sum", observed, {1}, true);
    const Value otherwise = has_default_scale_ ? g.constant("scaler.default", {static_cast<float>(default_scale_)})
                                               : mean(net.reduce("sum", total, {0}, true), net.reduce("sum", count, {0}, true));
    const Value any = g.op("orr.compare/1", {count, zero}, Attrs().set("function", "gt"));
    const Value chosen = g.op("orr.where/1", {any, mean(total, count), otherwise});
    const Value scale = g.op("orr.maximum/1", {chosen, g.constant("scaler.minimum", {static_cast<float>(minimum_scale_)})});
    return {g.op("orr.div/1", {values, scale}), g.op("orr.affine/1", {scale}, Attrs().set("scale", 0.0)), scale};
}

PatchTst::Scaled PatchTst::scale(Net& net, Value values, Value observed) const {
    if (scaling_ == "std") return scale_std(net, values, observed);
    if (scaling_ == "mean") return scale_mean(net, values, observed);
    return {values, {}, {}};
}

// [B, L, C] -> patches [B, C, P, patch] -> [B, C, P (+ 1), E]
Value PatchTst::embed(Net& net, Value data) const {
    Graph& g = net.g;
    const int64_t used = patch_ + stride_ * (patches_ - 1);  // the first values that fill no patch are left out
    const Value series = net.transpose(net.slice(data, 1, length_ - used, length_), {0, 2, 1});
    const Value patches = g.named("embed.patches", g.op("orr.unfold/1", {series}, Attrs().set("axis", 2).set("size", patch_).set("step", stride_)));
    const std::string name = "encoder.embedder.input_embedding";
    Value x;
    if (share_embedding_) {
        x = net.linear(name, patches, patch_, width_);
    } else {
        std::vector<Value> parts;
        for (int64_t c = 0; c < channels_; c++) {
            parts.push_back(net.linear(name + "." + std::to_string(c), net.slice(patches, 1, c, c + 1), patch_, width_));
        }
        x = channels_ == 1 ? parts[0] : g.op("orr.concat/1", parts, Attrs().set("axis", 1));
    }
    const int64_t tokens = patches_ + cls_;
    Value positions = net.parameter("encoder.positional_encoder.position_enc", {tokens, width_});
    if (cls_) {  // the token is added to a row of zeros before the patches, with its position
        const Value token = net.reshape(net.parameter("encoder.positional_encoder.cls_token", {1, 1, 1, width_}), {1, width_});
        positions = net.add(positions, net.pad(token, {0, 0}, {patches_, 0}));
        x = net.pad(x, {0, 0, 1, 0}, {0, 0, 0, 0});
    }
    return g.named("embed.output", net.add(x, net.reshape(positions, {1, 1, tokens, width_})));
}

// Batch norm by its running statistics is a constant scale and shift, computed at load.
Value PatchTst::norm(Net& net, const std::string& name, Value x) const {
    if (!batch_norm_) return net.layer_norm(name, x, width_, norm_eps_);
    Graph& g = net.g;
    const auto part = [&](const char* suffix) { return net.parameter(name + ".batchnorm." + suffix, {width_}); };
    const Value spread = g.op("orr.affine/1", {part("running_var")}, Attrs().set("offset", norm_eps_));
    const Value scale = g.op("orr.div/1", {part("weight"), net.activation("sqrt", spread)});
    const Value shift = net.sub(part("bias"), net.mul(part("running_mean"), scale));
    return net.add(net.mul(x, scale), shift);
}

template <class Sublayer>
Value PatchTst::sublayer(Net& net, const std::string& norm_name, Value x, Sublayer&& f) const {
    if (pre_norm_) return net.add(x, f(norm(net, norm_name, x)));
    return norm(net, norm_name, net.add(x, f(x)));
}

Value PatchTst::block(Net& net, const LayerStep& step, Value x) const {
    const std::string name = "encoder.layers." + std::to_string(step.layer) + ".";
    const std::string& path = step.path;
    const int64_t tokens = patches_ + cls_;
    Attention a;
    a.width = width_;
    a.heads = heads_;
    a.q = name + "self_attn.q_proj";
    a.k = name + "self_attn.k_proj";
    a.v = name + "self_attn.v_proj";
    a.output = name + "self_attn.out_proj";
    FeedForward f;
    f.width = width_;
    f.inner = inner_;
    f.up = name + "ff.0";
    f.down = name + "ff.3";
    f.activation = activation_;
    f.bias = bias_;
    f.first = step.ffn_width;
    x = net.reshape(x, {-1, tokens, width_});
    if (step.mixer) x = sublayer(net, name + "norm_sublayer1", x, [&](Value v) { return attend(net, path + ".mixer", a, v); });
    if (step.mixer && channel_attention_) {  // the same weights, over channels at each time step
        x = net.transpose(net.reshape(x, {-1, channels_, tokens, width_}), {0, 2, 1, 3});
        x = net.reshape(x, {-1, channels_, width_});
        x = sublayer(net, name + "norm_sublayer2", x, [&](Value v) { return attend(net, path + ".channel_mixer", a, v); });
        x = net.transpose(net.reshape(x, {-1, tokens, channels_, width_}), {0, 2, 1, 3});
        x = net.reshape(x, {-1, tokens, width_});
    }
    if (step.ffn) x = sublayer(net, name + "norm_sublayer3", x, [&](Value v) { return feed_forward(net, path + ".ffn", f, v); });
    return net.g.named(path + ".output", net.reshape(x, {-1, channels_, tokens, width_}));
}

// [B, C, P, E] -> [B, horizon, C]
Value PatchTst::predict(Net& net, Value hidden, const Scaled& scaled) const {
    Graph& g = net.g;
    int64_t width = width_;
    Value pooled;
    if (cls_) {
        pooled = net.reshape(net.slice(hidden, 2, 0, 1), {0, channels_, width_});
    } else if (pooling_ == "none") {
        width = width_ * patches_;
        pooled = net.reshape(hidden, {0, channels_, width});
    } else {
        pooled = net.reduce(pooling_.c_str(), hidden, {2}, false);
    }
    g.named("pooler.output", pooled);
    Value out;
    if (share_projection_) {
        out = net.linear("head.projection", pooled, width, horizon_);
    } else {
        std::vector<Value> parts;
        for (int64_t c = 0; c < channels_; c++) {
            parts.push_back(net.linear("head.projections." + std::to_string(c), net.slice(pooled, 1, c, c + 1), width, horizon_));
        }
        out = channels_ == 1 ? parts[0] : g.op("orr.concat/1", parts, Attrs().set("axis", 1));
    }
    out = net.transpose(g.named("head.output", out), {0, 2, 1});
    return scaled.scale ? net.add(net.mul(out, scaled.scale), scaled.loc) : out;
}

void PatchTst::build(std::string_view, const orr_model_source& source, Graph& g) const {
    const Net probe(g, source);
    const bool prefixed = probe.has("model.encoder.positional_encoder.position_enc");
    Net net(g, source, prefixed ? "model." : ""), head(g, source);
    const orr_dim batch = g.symbol("B");
    const Value values = g.input("past_values", ORR_TYPE_F32, {batch, length_, channels_});
    const Value mask = g.input("past_observed_mask", ORR_TYPE_I32, {batch, length_, channels_}, ORR_INPUT_OPTIONAL | ORR_INPUT_FILL_ONE);
    const Value observed = scaling_ == "none" ? Value{} : g.op("orr.cast/1", {mask}, Attrs().set("type", "f32"));
    const Scaled scaled = scale(net, values, observed);
    Value x = embed(net, g.named("scaler.output", scaled.data));
    x = run_layers(g, x, layers_, [&](const LayerStep& step, Value in) { return block(net, step, in); });
    if (prediction_)
        g.output("prediction_outputs", predict(head, x, scaled));
    else
        g.output("last_hidden_state", x);
    if (!scaled.scale) return;
    g.output("loc", scaled.loc);
    g.output("scale", scaled.scale);
}

}  // namespace
}  // namespace orrery

const orr_model_arch* orr_model_patchtst() {
    using orrery::PatchTst;
    static const char* const names[] = {"PatchTSTForPrediction", "PatchTSTModel", "patchtst", nullptr};
    static const char* const operators[] = {
        "orr.linear/1",    "orr.layer_norm/1", "orr.attention/1", "orr.attention_probabilities/1", "orr.activation/1", "orr.add/1",   "orr.sub/1",    "orr.mul/1",
        "orr.div/1",       "orr.maximum/1",    "orr.affine/1",    "orr.compare/1",    "orr.where/1", "orr.reduce/1", "orr.reshape/1",
        "orr.transpose/1", "orr.slice/1",      "orr.unfold/1",    "orr.concat/1",     "orr.pad/1",   "orr.cast/1",   nullptr};
    static const orr_model_arch arch =
        orrery::encoder::describe<PatchTst>("patchtst", "PatchTST: forecasts from patches of time series", names, operators);
    return &arch;
}
