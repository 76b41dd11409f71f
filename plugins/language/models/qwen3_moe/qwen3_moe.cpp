// Qwen3 with experts. Yang et al. 2025, arXiv:2505.09388
// Upstream: huggingface/transformers src/transformers/models/qwen3_moe/modeling_qwen3_moe.py; see README.md.
#include <algorithm>

#include "common/decoder.h"

namespace orrery {

namespace {

bool every_layer(const DecoderConfig&, int64_t, int64_t) { return true; }

// Every decoder_sparse_step-th layer has experts, except those in mlp_only_layers.
void read_sparse_layers(DecoderConfig& d, const ModelConfig& c) {
    const int64_t step = c.size_or("decoder_sparse_step", 1);
    const std::vector<double> dense = c.has("mlp_only_layers") ? c.numbers("mlp_only_layers") : std::vector<double>{};
    for (int64_t i = 0; i < d.layers; i++) {
        const bool listed = std::find(dense.begin(), dense.end(), static_cast<double>(i)) != dense.end();
        d.layer_sparse.push_back(!listed && (i + 1) % step == 0);
    }
}

DecoderConfig read(const orr_model_source& source) {
    const ModelConfig c(source);
    DecoderConfig d;
    if (c.gguf()) {
        d = decoder_from_gguf(c, source);
        d.experts = c.size("expert_count", kMostExperts);
        d.top_k = c.size("expert_used_count");
        d.expert_ffn = c.has("expert_feed_forward_length") ? c.size("expert_feed_forward_length") : d.ffn / d.top_k;
        d.layer_sparse.assign(static_cast<size_t>(d.layers), true);
    } else {
        d = decoder_from_hf(c, source);
        d.q_bias = d.k_bias = d.v_bias = d.o_bias = c.flag_or("attention_bias", false);
        set_windows(d, c, c.flag_or("use_sliding_window", false) ? c.count_or("sliding_window", 4096) : 0, every_layer, 0);
        d.experts = c.size(c.has("num_experts") ? "num_experts" : "num_local_experts", kMostExperts);
        d.top_k = c.size_or("num_experts_per_tok", 8);
        d.expert_ffn = c.size_or("moe_intermediate_size", 768);
        d.normalise_top_k = c.flag_or("norm_topk_prob", false);
        read_sparse_layers(d, c);
    }
    d.qk_norm = QkNorm::head;
    finish_decoder(d, c, source);
    return d;
}

}  // namespace
}  // namespace orrery

const orr_model_arch* orr_model_qwen3_moe() {
    static const char* const names[] = {"Qwen3MoeForCausalLM", nullptr};
    static const char* const gguf[] = {"qwen3moe", nullptr};
    static const orr_model_arch arch = orrery::ModelArch<orrery::DecoderConfig, orrery::read, orrery::build_decoder>::describe(
        "qwen3_moe", "Qwen3 language models with experts", names, gguf, orrery::sparse_decoder_operators());
    return &arch;
}
