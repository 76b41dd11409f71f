// Qwen2 and Qwen2.5. Yang et al. 2024, arXiv:2407.10671
// Upstream: huggingface/transformers src/transformers/models/qwen2/modeling_qwen2.py; see README.md.
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
        d = decoder_from_hf(c, source);
        d.q_bias = d.k_bias = d.v_bias = true;
        const int64_t window = c.flag_or("use_sliding_window", false) ? c.count_or("sliding_window", 4096) : 0;
        set_windows(d, c, window, from_layer, c.count_or("max_window_layers", 28));
    }
    finish_decoder(d, c, source);
    return d;
}

}  // namespace
}  // namespace orrery

const orr_model_arch* orr_model_qwen2() {
    static const char* const names[] = {"Qwen2ForCausalLM", nullptr};
    static const char* const gguf[] = {"qwen2", nullptr};
    static const orr_model_arch arch = orrery::ModelArch<orrery::DecoderConfig, orrery::read, orrery::build_decoder>::describe(
        "qwen2", "Qwen2 and Qwen2.5 language models", names, gguf, orrery::decoder_operators());
    return &arch;
}
