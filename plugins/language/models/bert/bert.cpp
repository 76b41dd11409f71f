// BERT. Devlin et al. 2019, arXiv:1810.04805
// Upstream: huggingface/transformers src/transformers/models/bert/modeling_bert.py (BertModel); see README.md.
#include "common/encoder.h"

namespace orrery {

namespace {

EncoderConfig read_hf(const ModelConfig& c, const orr_model_source& source) {
    const std::string prefix = tensor_prefix(source, {"", "bert."}, "embeddings.word_embeddings.weight");
    EncoderConfig e = encoder_from_hf(c, source, prefix);
    e.names.types = prefix + "embeddings.token_type_embeddings";
    e.type_count = c.size_or("type_vocab_size", 2);
    return e;
}

// RoBERTa and DistilBERT come under this name too: the converter cuts RoBERTa's first position rows off, so plain positions fit.
EncoderConfig read_gguf(const ModelConfig& c, const orr_model_source& source) {
    EncoderConfig e;
    e.layers = c.size("block_count", 10000);
    e.hidden = c.size("embedding_length");
    e.heads = c.size("attention.head_count");
    require_multiple(c, "embedding_length", e.hidden, "attention.head_count", e.heads);
    e.ffn = c.size("feed_forward_length");
    e.vocabulary = gguf_vocabulary(c, source);
    e.positions = tensor_shape(source, "position_embd.weight", 2)[0];
    e.norm_eps = c.positive("attention.layer_norm_epsilon");
    c.require_flag("attention.causal", false);
    EncoderNames& n = e.names;
    n.tokens = "token_embd";
    n.positions = "position_embd";
    n.embed_norm = "token_embd_norm";
    n.q = "blk.{}.attn_q";
    n.k = "blk.{}.attn_k";
    n.v = "blk.{}.attn_v";
    n.o = "blk.{}.attn_output";
    n.attention_norm = "blk.{}.attn_output_norm";
    n.up = "blk.{}.ffn_up";
    n.down = "blk.{}.ffn_down";
    n.ffn_norm = "blk.{}.layer_output_norm";
    if (has_tensor(source, "token_types.weight")) {
        n.types = "token_types";
        e.type_count = tensor_shape(source, "token_types.weight", 2)[0];
    }
    return e;
}

EncoderConfig read(const orr_model_source& source) {
    const ModelConfig c(source);
    EncoderConfig e = c.gguf() ? read_gguf(c, source) : read_hf(c, source);
    finish_encoder(e, c, source, e.positions);
    return e;
}

}  // namespace
}  // namespace orrery

const orr_model_arch* orr_model_bert() {
    static const char* const names[] = {"BertModel", "BertForMaskedLM", "BertForPreTraining", nullptr};
    static const char* const gguf[] = {"bert", nullptr};
    static const orr_model_arch arch = orrery::ModelArch<orrery::EncoderConfig, orrery::read, orrery::build_encoder>::describe(
        "bert", "BERT encoders", names, gguf, orrery::encoder_operators());
    return &arch;
}
