// OLMo 2. OLMo et al. 2024, arXiv:2501.00656
// Upstream: huggingface/transformers src/transformers/models/olmo2/modeling_olmo2.py; see README.md.
#include "common/decoder.h"

namespace orrery {

namespace {

DecoderConfig read(const orr_model_source& source) {
    const ModelConfig c(source);
    DecoderConfig d;
    if (c.gguf()) {
        if (c.count_or("attention.sliding_window", 0))
            c.refuse("attention.sliding_window", std::to_string(c.size("attention.sliding_window")), "none (OLMo 3 is another architecture)");
        d = decoder_from_gguf(c, source);
    } else {
        HfOptions o;
        o.norm_eps = 1e-5;
        d = decoder_from_hf(c, source, o);
        d.q_bias = d.k_bias = d.v_bias = d.o_bias = c.flag_or("attention_bias", false);
        const std::string layer = d.names.input_norm.substr(0, d.names.input_norm.rfind('.') + 1);
        d.names.attention_post_norm = layer + "post_attention_layernorm";
        d.names.ffn_post_norm = layer + "post_feedforward_layernorm";
    }
    d.qk_norm = QkNorm::width;
    d.pre_norm = false;
    d.post_norm = true;
    finish_decoder(d, c, source);
    return d;
}

}  // namespace
}  // namespace orrery

const orr_model_arch* orr_model_olmo2() {
    static const char* const names[] = {"Olmo2ForCausalLM", nullptr};
    static const char* const gguf[] = {"olmo2", nullptr};
    static const orr_model_arch arch = orrery::ModelArch<orrery::DecoderConfig, orrery::read, orrery::build_decoder>::describe(
        "olmo2", "OLMo 2 language models", names, gguf, orrery::decoder_operators());
    return &arch;
}
