// Gemma 3, text only. Gemma Team 2025, arXiv:2503.19786; EmbeddingGemma, Schechter Vera et al. 2025, arXiv:2509.20354
// Upstream: huggingface/transformers src/transformers/models/gemma3/modeling_gemma3.py (Gemma3ForCausalLM, Gemma3TextModel); see README.md.
#include <cmath>

#include "common/decoder.h"

namespace orrery {

namespace {

enum { kLocalRope = 0, kGlobalRope = 1 };

constexpr char kWithHead[] = "Gemma3ForCausalLM", kWithoutHead[] = "Gemma3TextModel";

bool all_but_last_of(const DecoderConfig&, int64_t layer, int64_t pattern) { return (layer + 1) % pattern != 0; }

// rope_parameters holds one table a layer type; older configs give rope_theta and rope_scaling for the full layers, rope_local_base_freq for the
// others.
void read_hf_ropes(DecoderConfig& d, const ModelConfig& c) {
    RopeDefaults local, global;
    local.head_dim = global.head_dim = d.head_dim;
    local.max_positions = global.max_positions = d.context;
    local.theta = c.positive_or("rope_local_base_freq", 10000);
    global.theta = c.positive_or("rope_theta", 1000000);
    const Json *local_json = nullptr, *global_json = c.find("rope_scaling");
    std::string label = c.label("rope_scaling"), full_label = label;
    if (const Json* p = c.find("rope_parameters")) {
        label = c.label("rope_parameters");
        if (!p->is_object()) throw Error(ORR_CORRUPT, label + " is " + json_text(*p) + ", wanted an object");
        const auto part = [&](const char* key) {
            const auto it = p->find(key);
            return it == p->end() || it->is_null() ? nullptr : &*it;
        };
        local_json = part("sliding_attention");
        if (const Json* full = part("full_attention")) {
            global_json = full;
            full_label = label + ".full_attention";
        }
        if (!local_json && !part("full_attention") && !p->empty())
            c.refuse("rope_parameters", p->begin().key(), "full_attention, sliding_attention");
    }
    d.ropes = {hf_rope(local_json, label + ".sliding_attention", local), hf_rope(global_json, full_label, global)};
}

// The keys that a sliding layer sees. In both directions transformers halves the width: its bound |q - k| < width/2 + 1 is ours of at most width/2
// away.
int64_t window_of(const ModelConfig& c, bool causal) {
    const int64_t width = c.count_or("sliding_window", 4096);
    if (causal) return width;
    if (width < 2)
        throw Error(ORR_UNSUPPORTED,
                    c.label("sliding_window") + " is " + std::to_string(width) + ", with use_bidirectional_attention it is at least 2");
    return width / 2;
}

DecoderConfig read_hf(const ModelConfig& c, const orr_model_source& source) {
    HfOptions o;
    o.tied = true;
    o.activation_key = "hidden_activation";
    o.activation = "gelu_pytorch_tanh";
    o.head_dim = 256;
    o.shared_rope = false;
    o.has_head = class_name(source, {kWithHead, kWithoutHead}) == kWithHead;
    DecoderConfig d = decoder_from_hf(c, source, o);
    d.causal = !c.flag_or("use_bidirectional_attention", false);
    if (d.has_head && !d.causal)
        throw Error(ORR_UNSUPPORTED, c.label("use_bidirectional_attention") + " is true, so " + kWithHead +
                                         " predicts no next token: each token has seen those after it. Known with it: " + kWithoutHead);
    d.q_bias = d.k_bias = d.v_bias = d.o_bias = c.flag_or("attention_bias", false);
    d.attention_scale = 1 / std::sqrt(c.positive_or("query_pre_attn_scalar", 256));
    d.final_softcap = c.positive_or("final_logit_softcapping", 0);
    d.norm_offset = 1;
    set_windows(d, c, window_of(c, d.causal), all_but_last_of, c.size_or("sliding_window_pattern", c.size_or("_sliding_window_pattern", 6)));
    read_hf_ropes(d, c);
    const std::string layer = d.names.input_norm.substr(0, d.names.input_norm.rfind('.') + 1);
    d.names.attention_post_norm = layer + "post_attention_layernorm";
    d.names.ffn_norm = layer + "pre_feedforward_layernorm";
    d.names.ffn_post_norm = layer + "post_feedforward_layernorm";
    return d;
}

// Norm weights of GGUF files hold 1 + w already. The 27 billion parameter model (62 layers) scales by hidden/heads instead of the head width.
DecoderConfig read_gguf(const ModelConfig& c, const orr_model_source& source) {
    DecoderConfig d = decoder_from_gguf(c, source, 1000000);
    d.activation = "gelu_tanh";
    d.attention_scale = 1 / std::sqrt(static_cast<double>(d.layers == 62 ? d.hidden / d.heads : d.head_dim));
    d.final_softcap = c.number_or("final_logit_softcapping", 0);
    const int64_t window = c.count_or("attention.sliding_window", 0);
    if (window) set_gguf_windows(d, c, window, 6);
    d.ropes.insert(d.ropes.begin(), plain_rope(static_cast<int64_t>(2 * d.ropes[0].inv_freq.size()), c.positive_or("rope.freq_base_swa", 10000)));
    return d;
}

DecoderConfig read(const orr_model_source& source) {
    const ModelConfig c(source);
    DecoderConfig d = c.gguf() ? read_gguf(c, source) : read_hf(c, source);
    d.embed_scale = std::sqrt(static_cast<double>(d.hidden));
    d.qk_norm = QkNorm::head;
    d.post_norm = true;
    for (size_t i = 0; i < d.layer_rope.size(); i++) d.layer_rope[i] = d.layer_windows[i] ? kLocalRope : kGlobalRope;
    finish_decoder(d, c, source);
    return d;
}

}  // namespace
}  // namespace orrery

const orr_model_arch* orr_model_gemma3() {
    static const char* const names[] = {orrery::kWithHead, orrery::kWithoutHead, nullptr};
    static const char* const gguf[] = {"gemma3", nullptr};
    static const orr_model_arch arch = orrery::ModelArch<orrery::DecoderConfig, orrery::read, orrery::build_decoder>::describe(
        "gemma3", "Gemma 3 language models, text only", names, gguf, orrery::decoder_operators());
    return &arch;
}
