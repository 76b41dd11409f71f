// The pre-trained decoder block that most language models share: rotary attention with grouped heads, a gated feed-forward or experts.
// An architecture fills a DecoderConfig; build_decoder() makes its entries. What a config leaves at its default does not exist in the graph.
#ifndef ORRERY_LANGUAGE_DECODER_H
#define ORRERY_LANGUAGE_DECODER_H

#include <string>
#include <vector>

#include "model/arch.h"
#include "model/config.h"
#include "model/rope_config.h"

namespace orrery {

// Tensor names without ".weight" and ".bias"; "{}" stands for the layer, "{x}" for the expert.
struct DecoderNames {
    std::string embed, norm, head;
    std::string input_norm, q, k, v, qkv, o, q_norm, k_norm, attention_post_norm;
    std::string ffn_norm, gate, up, gate_up, down, ffn_post_norm;
    std::string router, expert_gate, expert_up, expert_down;
    bool stacked_experts = false;  // one tensor [X, …] instead of one an expert
};

enum class QkNorm { none, head /* [D], each head by itself */, width /* [H*D], all heads together */ };

struct DecoderConfig {
    Summary summary;
    DecoderNames names;
    int64_t layers = 0, hidden = 0, heads = 0, kv_heads = 0, head_dim = 0, ffn = 0, vocabulary = 0, context = 0;
    bool tied = false;
    // attention
    bool q_bias = false, k_bias = false, v_bias = false, o_bias = false, fused_qkv = false;
    QkNorm qk_norm = QkNorm::none;
    double attention_scale = 0;    // 0: 1/sqrt(head_dim)
    double attention_softcap = 0;  // 0: none
    bool rope_interleaved = false;
    std::vector<RopeTable> ropes;
    std::vector<int> layer_rope;         // index into ropes, a layer
    std::vector<int64_t> layer_windows;  // 0: all keys, a layer
    // false: every token sees those after it too, a window's keys are at most that far away on either side, and nothing is remembered.
    bool causal = true;
    // channel mixer
    std::string activation = "silu";
    bool gate_bias = false, up_bias = false, down_bias = false, fused_gate_up = false;
    std::vector<bool> layer_sparse;  // experts instead of one feed-forward, a layer; empty: none
    int64_t experts = 0, top_k = 0, expert_ffn = 0;
    bool normalise_top_k = true;
    // norms
    double norm_eps = 1e-6, norm_offset = 0;
    bool pre_norm = true, post_norm = false;
    // embedding and head
    double embed_scale = 1, final_softcap = 0;
    bool has_head = true;  // false: forward gives last_hidden_state and there is no "next"
};

constexpr int64_t kMostLayers = 10000, kMostHeads = 65536, kMostHeadDim = 65536, kMostExperts = 65536;

struct HfOptions {
    bool tied = false;  // tie_word_embeddings when absent
    const char* activation_key = "hidden_act";
    const char* activation = "silu";  // when absent
    double norm_eps = 1e-6;           // when absent
    RopeDefaults rope = {};           // theta when absent
    bool shared_rope = true;          // read one rope table for all layers
    int64_t head_dim = 0;             // when absent; 0: hidden / heads
    bool has_head = true;
};

// Sizes, names, rope and head of a Hugging Face config.json with Llama's keys.
DecoderConfig decoder_from_hf(const ModelConfig& config, const orr_model_source& source, const HfOptions& options = {});
// The same of GGUF metadata. Biases are there when their tensors are.
DecoderConfig decoder_from_gguf(const ModelConfig& config, const orr_model_source& source, double theta = 10000);
// Windows from layer_types, else from `sliding(layer)`; window 0 means that no layer slides.
void set_windows(DecoderConfig& d, const ModelConfig& config, int64_t window, bool (*sliding)(const DecoderConfig&, int64_t layer, int64_t pattern),
                 int64_t pattern);
// GGUF: attention.sliding_window_pattern, a list of flags or a period of which the last layer sees everything.
void set_gguf_windows(DecoderConfig& d, const ModelConfig& config, int64_t window, int64_t period);
// Checks sizes against each other and writes the summary. Call last.
void finish_decoder(DecoderConfig& d, const ModelConfig& config, const orr_model_source& source);

void build_decoder(const DecoderConfig& d, const orr_model_source& source, std::string_view entry, Graph& g);
const char* const* decoder_operators();
const char* const* sparse_decoder_operators();

}  // namespace orrery
#endif
