// Gemma 2. Gemma Team 2024, arXiv:2408.00118
// Upstream: huggingface/transformers src/transformers/models/gemma2/modeling_gemma2.py; see README.md.
#include <cmath>

#include "common/decoder.h"

namespace orrery {

namespace {

constexpr int64_t kPeriod = 2;

bool even_layer(const DecoderConfig&, int64_t layer, int64_t pattern) { return layer % pattern == 0; }

DecoderConfig read_hf(const ModelConfig& c, const orr_model_source& source) {
    HfOptions o;
    o.tied = true;
    o.activation_key = "hidden_activation";
    o.activation = "gelu_pytorch_tanh";
    o.head_dim = 256;
    DecoderConfig d = decoder_from_hf(c, source, o);
    c.require_flag("use_bidirectional_attention", false);
    d.q_bias = d.k_bias = d.v_bias = d.o_bias = c.flag_or("attention_bias", false);
    d.attention_scale = 1 / std::sqrt(c.positive_or("query_pre_attn_scalar", 256));
    d.attention_softcap = c.positive_or("attn_logit_softcapping", c.declared("attn_logit_softcapping") ? 0 : 50);
    d.final_softcap = c.positive_or("final_logit_softcapping", c.declared("final_logit_softcapping") ? 0 : 30);
    d.norm_offset = 1;
    set_windows(d, c, c.count_or("sliding_window", c.declared("sliding_window") ? 0 : 4096), even_layer, kPeriod);
    const std::string layer = d.names.input_norm.substr(0, d.names.input_norm.rfind('.') + 1);
    d.names.attention_post_norm = layer + "post_attention_layernorm";
    d.names.ffn_norm = layer + "pre_feedforward_layernorm";
    d.names.ffn_post_norm = layer + "post_feedforward_layernorm";
    return d;
}

// Norm weights of GGUF files hold 1 + w already. The 27 billion parameter model (46 layers) scales by hidden/heads instead of the head width.
DecoderConfig read_gguf(const ModelConfig& c, const orr_model_source& source) {
    DecoderConfig d = decoder_from_gguf(c, source);
    d.activation = "gelu_tanh";
    d.tied = true;
    d.attention_scale = 1 / std::sqrt(static_cast<double>(d.layers == 46 ? d.hidden / d.heads : d.head_dim));
    d.attention_softcap = c.number_or("attn_logit_softcapping", 50);
    d.final_softcap = c.number_or("final_logit_softcapping", 30);
    set_gguf_windows(d, c, c.count_or("attention.sliding_window", 4096), kPeriod);
    return d;
}

DecoderConfig read(const orr_model_source& source) {
    const ModelConfig c(source);
    DecoderConfig d = c.gguf() ? read_gguf(c, source) : read_hf(c, source);
    d.embed_scale = std::sqrt(static_cast<double>(d.hidden));
    d.post_norm = true;
    finish_decoder(d, c, source);
    return d;
}

}  // namespace
}  // namespace orrery

const orr_model_arch* orr_model_gemma2() {
    static const char* const names[] = {"Gemma2ForCausalLM", nullptr};
    static const char* const gguf[] = {"gemma2", nullptr};
    static const orr_model_arch arch = orrery::ModelArch<orrery::DecoderConfig, orrery::read, orrery::build_decoder>::describe(
        "gemma2", "Gemma 2 language models", names, gguf, orrery::decoder_operators());
    return &arch;
}
