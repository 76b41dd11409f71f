// RoBERTa and XLM-RoBERTa. Liu et al. 2019, arXiv:1907.11692 · Conneau et al. 2020, arXiv:1911.02116
// Upstream: huggingface/transformers src/transformers/models/roberta/modeling_roberta.py, models/xlm_roberta/modeling_xlm_roberta.py; see README.md.
#include "common/encoder.h"

namespace orrery {

namespace {

EncoderConfig read(const orr_model_source& source) {
    const ModelConfig c(source);
    const std::string prefix = tensor_prefix(source, {"", "roberta."}, "embeddings.word_embeddings.weight");
    EncoderConfig e = encoder_from_hf(c, source, prefix);
    e.names.types = prefix + "embeddings.token_type_embeddings";
    e.type_count = c.size_or("type_vocab_size", 2);
    e.padding = c.count_or("pad_token_id", 1);
    if (e.padding + 1 >= e.positions)
        throw Error(ORR_CORRUPT, c.label("max_position_embeddings") + " is " + std::to_string(e.positions) +
                                     ", positions start at pad_token_id + 1 = " + std::to_string(e.padding + 1));
    finish_encoder(e, c, source, e.positions - e.padding - 1);
    return e;
}

}  // namespace
}  // namespace orrery

const orr_model_arch* orr_model_roberta() {
    static const char* const names[] = {"RobertaModel", "RobertaForMaskedLM", "XLMRobertaModel", "XLMRobertaForMaskedLM", nullptr};
    static const char* const gguf[] = {nullptr};
    static const orr_model_arch arch = orrery::ModelArch<orrery::EncoderConfig, orrery::read, orrery::build_encoder>::describe(
        "roberta", "RoBERTa and XLM-RoBERTa encoders", names, gguf, orrery::encoder_operators());
    return &arch;
}
