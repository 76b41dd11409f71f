// DistilBERT. Sanh et al. 2019, arXiv:1910.01108
// Upstream: huggingface/transformers src/transformers/models/distilbert/modeling_distilbert.py (DistilBertModel); see README.md.
#include "common/encoder.h"

namespace orrery {

namespace {

EncoderConfig read(const orr_model_source& source) {
    const ModelConfig c(source);
    const std::string prefix = tensor_prefix(source, {"", "distilbert."}, "embeddings.word_embeddings.weight");
    EncoderConfig e;
    e.layers = c.size("n_layers", 10000);
    e.hidden = c.size("dim");
    e.heads = c.size("n_heads");
    require_multiple(c, "dim", e.hidden, "n_heads", e.heads);
    e.ffn = c.size("hidden_dim");
    e.vocabulary = c.size("vocab_size");
    e.positions = c.size("max_position_embeddings");
    e.norm_eps = 1e-12;  // fixed upstream
    e.activation = activation_name(c, "activation", "gelu");
    EncoderNames& n = e.names;
    const std::string layer = prefix + "transformer.layer.{}.";
    n.tokens = prefix + "embeddings.word_embeddings";
    n.positions = prefix + "embeddings.position_embeddings";
    n.embed_norm = prefix + "embeddings.LayerNorm";
    n.q = layer + "attention.q_lin";
    n.k = layer + "attention.k_lin";
    n.v = layer + "attention.v_lin";
    n.o = layer + "attention.out_lin";
    n.attention_norm = layer + "sa_layer_norm";
    n.up = layer + "ffn.lin1";
    n.down = layer + "ffn.lin2";
    n.ffn_norm = layer + "output_layer_norm";
    finish_encoder(e, c, source, e.positions);
    return e;
}

}  // namespace
}  // namespace orrery

const orr_model_arch* orr_model_distilbert() {
    static const char* const names[] = {"DistilBertModel", "DistilBertForMaskedLM", nullptr};
    static const char* const gguf[] = {nullptr};
    static const orr_model_arch arch = orrery::ModelArch<orrery::EncoderConfig, orrery::read, orrery::build_encoder>::describe(
        "distilbert", "DistilBERT encoders", names, gguf, orrery::encoder_operators());
    return &arch;
}
