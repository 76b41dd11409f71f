// Mixtral. Jiang et al. 2024, arXiv:2401.04088
// Upstream: huggingface/transformers src/transformers/models/mixtral/modeling_mixtral.py; see README.md. GGUF files name it "llama": models/llama.
#include "common/decoder.h"

namespace orrery {

namespace {

bool every_layer(const DecoderConfig&, int64_t, int64_t) { return true; }

DecoderConfig read(const orr_model_source& source) {
    const ModelConfig c(source);
    HfOptions o;
    o.rope.theta = 1000000;
    o.norm_eps = 1e-5;
    DecoderConfig d = decoder_from_hf(c, source, o);
    set_windows(d, c, c.count_or("sliding_window", 0), every_layer, 0);
    d.experts = c.has("num_local_experts") ? c.size("num_local_experts", kMostExperts) : 8;
    d.top_k = c.size_or("num_experts_per_tok", 2);
    d.expert_ffn = d.ffn;
    d.layer_sparse.assign(static_cast<size_t>(d.layers), true);
    const std::string moe = d.names.input_norm.substr(0, d.names.input_norm.rfind('.')) + ".block_sparse_moe.";
    d.names.router = moe + "gate";
    d.names.expert_gate = moe + "experts.{x}.w1";
    d.names.expert_up = moe + "experts.{x}.w3";
    d.names.expert_down = moe + "experts.{x}.w2";
    finish_decoder(d, c, source);
    return d;
}

}  // namespace
}  // namespace orrery

const orr_model_arch* orr_model_mixtral() {
    static const char* const names[] = {"MixtralForCausalLM", nullptr};
    static const char* const gguf[] = {nullptr};
    static const orr_model_arch arch = orrery::ModelArch<orrery::DecoderConfig, orrery::read, orrery::build_decoder>::describe(
        "mixtral", "Mixtral language models with experts", names, gguf, orrery::sparse_decoder_operators());
    return &arch;
}
