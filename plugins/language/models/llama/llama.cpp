// Llama 2 and 3, SmolLM, Mistral. Touvron et al. 2023, arXiv:2307.09288 · Grattafiori et al. 2024, arXiv:2407.21783 · Jiang et al. 2023,
// arXiv:2310.06825 Upstream: huggingface/transformers src/transformers/models/llama/modeling_llama.py, models/mistral/modeling_mistral.py; see
// README.md.
#include "common/decoder.h"

namespace orrery {

namespace {

bool every_layer(const DecoderConfig&, int64_t, int64_t) { return true; }

DecoderConfig read_hf(const ModelConfig& c, const orr_model_source& source) {
    DecoderConfig d = decoder_from_hf(c, source);
    d.q_bias = d.k_bias = d.v_bias = d.o_bias = c.flag_or("attention_bias", false);
    d.gate_bias = d.up_bias = d.down_bias = c.flag_or("mlp_bias", false);
    // Llama knows no window. Mistral's is 4096 where the config says nothing; null means none.
    const bool unsaid = c.text_or("model_type", "") == "mistral" && !c.declared("sliding_window");
    set_windows(d, c, c.count_or("sliding_window", unsaid ? 4096 : 0), every_layer, 0);
    return d;
}

// Mixtral checkpoints come under this name too, with expert_count above 0. Rows of Q and K are permuted so that pairs stand side by side.
DecoderConfig read_gguf(const ModelConfig& c, const orr_model_source& source) {
    DecoderConfig d = decoder_from_gguf(c, source);
    d.rope_interleaved = true;
    set_windows(d, c, c.count_or("attention.sliding_window", 0), every_layer, 0);
    if (c.count_or("expert_count", 0)) {
        d.experts = c.size("expert_count", kMostExperts);
        d.top_k = c.size("expert_used_count");
        d.expert_ffn = d.ffn;
        d.layer_sparse.assign(static_cast<size_t>(d.layers), true);
    }
    return d;
}

DecoderConfig read(const orr_model_source& source) {
    const ModelConfig c(source);
    DecoderConfig d = c.gguf() ? read_gguf(c, source) : read_hf(c, source);
    finish_decoder(d, c, source);
    return d;
}

}  // namespace
}  // namespace orrery

const orr_model_arch* orr_model_llama() {
    static const char* const names[] = {"LlamaForCausalLM", "MistralForCausalLM", nullptr};
    static const char* const gguf[] = {"llama", nullptr};
    static const orr_model_arch arch = orrery::ModelArch<orrery::DecoderConfig, orrery::read, orrery::build_decoder>::describe(
        "llama", "Llama 2 and 3, SmolLM, Mistral; Mixtral from GGUF", names, gguf, orrery::sparse_decoder_operators());
    return &arch;
}
