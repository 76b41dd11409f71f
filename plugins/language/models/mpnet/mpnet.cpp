// MPNet. Song et al. 2020, arXiv:2004.09297
// Upstream: huggingface/transformers src/transformers/models/mpnet/modeling_mpnet.py (MPNetModel); see README.md.
#include "common/encoder.h"

namespace orrery {

namespace {

constexpr int64_t kPadding = 1;   // whatever pad_token_id says
constexpr int64_t kBuckets = 32;  // that are read

EncoderConfig read(const orr_model_source& source) {
    const ModelConfig c(source);
    const std::string prefix = tensor_prefix(source, {"", "mpnet."}, "embeddings.word_embeddings.weight");
    EncoderConfig e = encoder_from_hf(c, source, prefix);
    const std::string layer = prefix + "encoder.layer.{}.attention.";
    e.names.q = layer + "attn.q";
    e.names.k = layer + "attn.k";
    e.names.v = layer + "attn.v";
    e.names.o = layer + "attn.o";
    e.names.attention_norm = layer + "LayerNorm";
    e.names.relative = prefix + "encoder.relative_attention_bias";
    e.relative_rows = c.size_or("relative_attention_num_buckets", kBuckets);
    if (e.relative_rows < kBuckets)
        throw Error(ORR_UNSUPPORTED, c.label("relative_attention_num_buckets") + " is " + std::to_string(e.relative_rows) + ", MPNet reads " +
                                         std::to_string(kBuckets));
    e.padding = kPadding;
    const std::string table = e.names.positions + ".weight";
    if (const int64_t rows = tensor_shape(source, table, 2)[0]; rows != e.positions)
        throw Error(ORR_CORRUPT, c.label("max_position_embeddings") + " is " + std::to_string(e.positions) + ", tensor \"" + table + "\" has " +
                                     std::to_string(rows) + " rows");
    if (e.positions <= kPadding + 1)
        throw Error(ORR_CORRUPT, c.label("max_position_embeddings") + " is " + std::to_string(e.positions) + ", wanted 3 or more");
    finish_encoder(e, c, source, e.positions - kPadding - 1);
    return e;
}

}  // namespace
}  // namespace orrery

const orr_model_arch* orr_model_mpnet() {
    static const char* const names[] = {"MPNetModel", "MPNetForMaskedLM", nullptr};
    static const char* const gguf[] = {nullptr};
    static const orr_model_arch arch = orrery::ModelArch<orrery::EncoderConfig, orrery::read, orrery::build_encoder>::describe(
        "mpnet", "MPNet encoders", names, gguf, orrery::encoder_operators());
    return &arch;
}
