#include <algorithm>
#include <cmath>

#include "common/decoder.h"
#include "model/layer_plan.h"
#include "model/skip_routers.h"

namespace orrery {

namespace {

DecoderNames hf_names(const std::string& prefix) {
    const std::string layer = prefix + "layers.{}.";
    DecoderNames n;
    n.embed = prefix + "embed_tokens";
    n.norm = prefix + "norm";
    n.head = "lm_head";
    n.input_norm = layer + "input_layernorm";
    n.q = layer + "self_attn.q_proj";
    n.k = layer + "self_attn.k_proj";
    n.v = layer + "self_attn.v_proj";
    n.qkv = layer + "self_attn.qkv_proj";
    n.o = layer + "self_attn.o_proj";
    n.q_norm = layer + "self_attn.q_norm";
    n.k_norm = layer + "self_attn.k_norm";
    n.ffn_norm = layer + "post_attention_layernorm";
    n.gate = layer + "mlp.gate_proj";
    n.up = layer + "mlp.up_proj";
    n.gate_up = layer + "mlp.gate_up_proj";
    n.down = layer + "mlp.down_proj";
    n.router = layer + "mlp.gate";
    n.expert_gate = layer + "mlp.experts.{x}.gate_proj";
    n.expert_up = layer + "mlp.experts.{x}.up_proj";
    n.expert_down = layer + "mlp.experts.{x}.down_proj";
    return n;
}

DecoderNames gguf_names() {
    DecoderNames n;
    n.embed = "token_embd";
    n.norm = "output_norm";
    n.head = "output";
    n.input_norm = "blk.{}.attn_norm";
    n.q = "blk.{}.attn_q";
    n.k = "blk.{}.attn_k";
    n.v = "blk.{}.attn_v";
    n.qkv = "blk.{}.attn_qkv";
    n.o = "blk.{}.attn_output";
    n.q_norm = "blk.{}.attn_q_norm";
    n.k_norm = "blk.{}.attn_k_norm";
    n.attention_post_norm = "blk.{}.post_attention_norm";
    n.ffn_norm = "blk.{}.ffn_norm";
    n.gate = "blk.{}.ffn_gate";
    n.up = "blk.{}.ffn_up";
    n.gate_up = "blk.{}.ffn_up";
    n.down = "blk.{}.ffn_down";
    n.ffn_post_norm = "blk.{}.post_ffw_norm";
    n.router = "blk.{}.ffn_gate_inp";
    n.expert_gate = "blk.{}.ffn_gate_exps";
    n.expert_up = "blk.{}.ffn_up_exps";
    n.expert_down = "blk.{}.ffn_down_exps";
    n.stacked_experts = true;
    return n;
}

// Where GGUF keeps the weights of Hugging Face's modules, for adapters (orrery/ext/adapters.h). With interleaved rope the rows of q and k are in its order.
Json gguf_modules(const DecoderConfig& d) {
    const DecoderNames hf = hf_names("model.");
    const DecoderNames& n = d.names;
    Json list = Json::array();
    const auto add = [&](const std::string& module, const std::string& tensor, int64_t heads = 0) {
        list.push_back({{"module", module}, {"tensor", tensor}});
        if (heads && d.rope_interleaved) list.back()["interleaved_heads"] = heads;
    };
    if (d.fused_qkv) {
        add(hf.qkv, n.qkv);
    } else {
        add(hf.q, n.q, d.heads);
        add(hf.k, n.k, d.kv_heads);
        add(hf.v, n.v);
    }
    add(hf.o, n.o);
    if (d.fused_gate_up) {
        add(hf.gate_up, n.gate_up);
    } else {
        add(hf.gate, n.gate);
        add(hf.up, n.up);
    }
    add(hf.down, n.down);
    add(hf.embed, n.embed);
    add(hf.router, n.router);
    if (!d.tied) add(hf.head, n.head);
    return list;
}

// Modules that keep their weights elsewhere, in any checkpoint: tied heads, and experts, which transformers since 5 has as two parameters.
void add_shared_modules(Json& list, const DecoderConfig& d, bool gguf) {
    const DecoderNames hf = hf_names("model.");
    if (d.tied && d.has_head) list.push_back({{"module", "lm_head"}, {"tensor", d.names.embed}, {"tied", true}});
    if (!d.experts) return;
    list.push_back({{"module", hf.router}, {"tensor", d.names.router}});
    const auto first = [](std::string pattern) {
        if (const size_t at = pattern.find("{x}"); at != std::string::npos) pattern.replace(at, 3, "0");
        return pattern;
    };
    const std::string experts = "model.layers.{}.mlp.experts";
    for (const int half : {0, 1})
        list.push_back({{"module", experts}, {"parameter", "gate_up_proj"}, {"tensor", first(half ? d.names.expert_up : d.names.expert_gate)}, {"share", {half, 2}}});
    list.push_back({{"module", experts}, {"parameter", "down_proj"}, {"tensor", first(d.names.expert_down)}});
    if (!gguf) return;
    const std::pair<const char*, std::string> members[] = {{"mlp.experts.{}.gate_proj", d.names.expert_gate},  {"block_sparse_moe.experts.{}.w1", d.names.expert_gate},
                                                           {"mlp.experts.{}.up_proj", d.names.expert_up},      {"block_sparse_moe.experts.{}.w3", d.names.expert_up},
                                                           {"mlp.experts.{}.down_proj", d.names.expert_down},  {"block_sparse_moe.experts.{}.w2", d.names.expert_down}};
    for (const auto& [module, tensor] : members) list.push_back({{"module", std::string("model.layers.{}.") + module}, {"tensor", tensor}, {"member", true}});
    list.push_back({{"module", "model.layers.{}.block_sparse_moe.gate"}, {"tensor", d.names.router}});
}

void one_rope(DecoderConfig& d, RopeTable table) {
    d.ropes = {std::move(table)};
    d.layer_rope.assign(static_cast<size_t>(d.layers), 0);
    d.layer_windows.assign(static_cast<size_t>(d.layers), 0);
}

}  // namespace

DecoderConfig decoder_from_hf(const ModelConfig& c, const orr_model_source& source, const HfOptions& o) {
    DecoderConfig d;
    d.names = hf_names(tensor_prefix(source, {"model.", ""}, "embed_tokens.weight"));
    d.layers = c.size("num_hidden_layers", kMostLayers);
    d.hidden = c.size("hidden_size");
    d.heads = c.size("num_attention_heads", kMostHeads);
    d.kv_heads = c.size_or("num_key_value_heads", d.heads);
    require_multiple(c, "num_attention_heads", d.heads, "num_key_value_heads", d.kv_heads);
    if (!c.has("head_dim") && !o.head_dim) require_multiple(c, "hidden_size", d.hidden, "num_attention_heads", d.heads);
    d.head_dim = c.has("head_dim") ? c.size("head_dim", kMostHeadDim) : o.head_dim ? o.head_dim : d.hidden / d.heads;
    d.ffn = c.size("intermediate_size");
    d.vocabulary = c.size("vocab_size");
    d.context = c.size("max_position_embeddings");
    d.norm_eps = c.positive_or("rms_norm_eps", o.norm_eps);
    d.activation = activation_name(c, o.activation_key, o.activation);
    const bool tied = c.flag_or("tie_word_embeddings", o.tied), has_head = has_tensor(source, d.names.head + ".weight");
    d.has_head = o.has_head;
    if (d.has_head && c.has("tie_word_embeddings") && !tied && !has_head)
        throw Error(ORR_CORRUPT, c.label("tie_word_embeddings") + " is false, but the checkpoint has no tensor " + d.names.head + ".weight");
    d.tied = tied || !has_head;
    RopeDefaults rope = o.rope;
    rope.head_dim = d.head_dim;
    rope.max_positions = d.context;
    one_rope(d, o.shared_rope ? hf_rope(c, rope) : RopeTable{});
    return d;
}

DecoderConfig decoder_from_gguf(const ModelConfig& c, const orr_model_source& source, double theta) {
    DecoderConfig d;
    d.names = gguf_names();
    d.layers = c.size("block_count", kMostLayers);
    d.hidden = c.size("embedding_length");
    d.heads = c.size("attention.head_count", kMostHeads);
    d.kv_heads = c.size_or("attention.head_count_kv", d.heads);
    require_multiple(c, "attention.head_count", d.heads, "attention.head_count_kv", d.kv_heads);
    if (!c.has("attention.key_length")) require_multiple(c, "embedding_length", d.hidden, "attention.head_count", d.heads);
    d.head_dim = c.has("attention.key_length") ? c.size("attention.key_length", kMostHeadDim) : d.hidden / d.heads;
    if (c.size_or("attention.value_length", d.head_dim) != d.head_dim)
        throw Error(ORR_UNSUPPORTED, c.label("attention.value_length") + " " + std::to_string(c.size("attention.value_length")) +
                                         " differs from the key length " + std::to_string(d.head_dim));
    d.ffn = c.size("feed_forward_length");
    d.vocabulary = gguf_vocabulary(c, source);
    d.context = c.size("context_length");
    d.norm_eps = c.positive("attention.layer_norm_rms_epsilon");
    d.tied = !has_tensor(source, "output.weight");
    const auto bias = [&](const std::string& name) { return has_tensor(source, numbered(name, 0) + ".bias"); };
    d.q_bias = bias(d.names.q);
    d.k_bias = bias(d.names.k);
    d.v_bias = bias(d.names.v);
    d.o_bias = bias(d.names.o);
    d.gate_bias = bias(d.names.gate);
    d.up_bias = bias(d.names.up);
    d.down_bias = bias(d.names.down);
    RopeDefaults rope;
    rope.head_dim = d.head_dim;
    rope.max_positions = d.context;
    rope.theta = theta;
    one_rope(d, gguf_rope(c, source, rope));
    return d;
}

void set_windows(DecoderConfig& d, const ModelConfig& c, int64_t window, bool (*sliding)(const DecoderConfig&, int64_t, int64_t), int64_t pattern) {
    std::vector<std::string> types;
    if (c.has("layer_types")) {
        types = c.texts("layer_types");
        if (static_cast<int64_t>(types.size()) != d.layers)
            throw Error(ORR_CORRUPT,
                        c.label("layer_types") + " names " + std::to_string(types.size()) + " layers, the model has " + std::to_string(d.layers));
    }
    for (int64_t i = 0; i < d.layers; i++) {
        const auto at = static_cast<size_t>(i);
        bool slides = sliding(d, i, pattern);
        if (!types.empty()) {
            if (types[at] != "sliding_attention" && types[at] != "full_attention")
                c.refuse("layer_types", types[at], "full_attention, sliding_attention");
            slides = types[at] == "sliding_attention";
        }
        if (slides && !types.empty() && window == 0)
            throw Error(ORR_CORRUPT, c.label("sliding_window") + " is missing, layer " + std::to_string(i) + " slides");
        d.layer_windows[at] = slides ? window : 0;
    }
}

void set_gguf_windows(DecoderConfig& d, const ModelConfig& c, int64_t window, int64_t period) {
    const Json* pattern = c.find("attention.sliding_window_pattern");
    if (pattern && pattern->is_array()) {
        if (static_cast<int64_t>(pattern->size()) < d.layers)
            throw Error(ORR_CORRUPT, c.label("attention.sliding_window_pattern") + " names " + std::to_string(pattern->size()) +
                                         " layers, the model has " + std::to_string(d.layers));
        for (int64_t i = 0; i < d.layers; i++) {
            const Json& e = (*pattern)[static_cast<size_t>(i)];
            const bool slides = e.is_boolean() ? e.get<bool>() : e.is_number_integer() && e.get<int64_t>() != 0;
            d.layer_windows[static_cast<size_t>(i)] = slides ? window : 0;
        }
        return;
    }
    const int64_t n = c.count_or("attention.sliding_window_pattern", period);
    for (int64_t i = 0; i < d.layers; i++) d.layer_windows[static_cast<size_t>(i)] = n == 0 || i % n < n - 1 ? window : 0;
}

void finish_decoder(DecoderConfig& d, const ModelConfig& c, const orr_model_source& source) {
    if (d.experts && d.top_k > d.experts)
        throw Error(ORR_CORRUPT, "each token takes " + std::to_string(d.top_k) + " experts of " + std::to_string(d.experts));
    Summary& s = d.summary;
    s.entries = {"forward"};
    if (d.has_head) s.entries.push_back("next");
    s.tasks = {d.has_head ? "text_generation" : "embedding"};
    s.context_length = d.context;
    for (const RopeTable& r : d.ropes) s.context_length = std::max(s.context_length, r.reach);
    s.vocabulary = d.vocabulary;
    // A buffer that older checkpoints keep; GGUF's are read with the configuration.
    s.ignored_tensors = {"*rotary_emb.inv_freq", "rope_freqs.weight", "rope_factors_long.weight", "rope_factors_short.weight"};
    if (d.tied) s.ignored_tensors.push_back("lm_head.weight");
    Json info = {{"layers", d.layers},         {"heads", d.heads},   {"kv_heads", d.kv_heads},
                 {"head_dim", d.head_dim},     {"hidden", d.hidden}, {"ffn", d.ffn},
                 {"vocabulary", d.vocabulary}, {"tied", d.tied},     {"parameters", parameter_count(source)}};
    if (d.experts) info.update({{"experts", d.experts}, {"experts_per_token", d.top_k}, {"expert_ffn", d.expert_ffn}});
    const int64_t window = *std::max_element(d.layer_windows.begin(), d.layer_windows.end());
    if (window) info["window"] = window;
    for (const RopeTable& r : d.ropes)
        if (r.switch_length > 0) info["rotary_switch"] = r.switch_length;
    for (const RopeTable& r : d.ropes)
        if (r.dynamic_factor > 0) info["rotary_growth"] = r.dynamic_length;
    if (d.has_head) info["samples"] = true;
    info["modules"] = c.gguf() ? gguf_modules(d) : Json::array();
    add_shared_modules(info["modules"], d, c.gguf());
    if (!c.gguf()) info["ignored"] = c.unused();
    s.info_json = json_text(info);
    declare_layer_controls(s, d.layers, true);
    if (d.layer_sparse.empty()) declare_ffn_width(s, d.layers);
    declare_exit_controls(s, d.has_head);
    if (d.causal) declare_skip_controls(s);
}

}  // namespace orrery
