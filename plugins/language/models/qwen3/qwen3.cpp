// Qwen3, dense. Yang et al. 2025, arXiv:2505.09388
// Upstream: huggingface/transformers src/transformers/models/qwen3/modeling_qwen3.py; see README.md.
#include "common/decoder.h"

namespace orrery {

namespace {

bool from_layer(const DecoderConfig&, int64_t layer, int64_t first) { return layer >= first; }

DecoderConfig read(const orr_model_source& source) {
    const ModelConfig c(source);
    DecoderConfig d;
    if (c.gguf()) {
        d = decoder_from_gguf(c, source);
    } else {
        HfOptions o;
        o.head_dim = 128;
        d = decoder_from_hf(c, source, o);
        d.q_bias = d.k_bias = d.v_bias = d.o_bias = c.flag_or("attention_bias", false);
        const int64_t window = c.flag_or("use_sliding_window", false) ? c.count_or("sliding_window", 4096) : 0;
        set_windows(d, c, window, from_layer, c.count_or("max_window_layers", 28));
    }
    d.qk_norm = QkNorm::head;
    finish_decoder(d, c, source);
    return d;
}

}  // namespace
}  // namespace orrery

const orr_model_arch* orr_model_qwen3() {
    static const char* const names[] = {"Qwen3ForCausalLM", nullptr};
    static const char* const gguf[] = {"qwen3", nullptr};
    static const orr_model_arch arch = orrery::ModelArch<orrery::DecoderConfig, orrery::read, orrery::build_decoder>::describe(
        "qwen3", "Qwen3 dense language models", names, gguf, orrery::decoder_operators());
    return &arch;
}
