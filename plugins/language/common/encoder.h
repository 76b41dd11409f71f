// The bidirectional encoder of BERT and its relatives: norms after each half, learned positions, an optional pooler.
// An architecture fills an EncoderConfig; build_encoder() makes its entry.
#ifndef ORRERY_LANGUAGE_ENCODER_H
#define ORRERY_LANGUAGE_ENCODER_H

#include <string>
#include <vector>

#include "model/arch.h"
#include "model/config.h"

namespace orrery {

// Tensor names without ".weight" and ".bias"; "{}" stands for the layer. Empty: the model has no such part.
struct EncoderNames {
    std::string tokens, positions, types, embed_norm;
    std::string q, k, v, o, attention_norm, up, down, ffn_norm;
    std::string relative, pooler;
};

struct EncoderConfig {
    Summary summary;
    EncoderNames names;
    int64_t layers = 0, hidden = 0, heads = 0, ffn = 0, vocabulary = 0;
    int64_t positions = 0;  // rows of the position table
    int64_t type_count = 0;
    double norm_eps = 1e-12;
    std::string activation = "gelu";
    // RoBERTa: positions count the tokens that are not padding, from padding + 1. -1: plain positions from 0.
    int64_t padding = -1;
    int64_t relative_rows = 0;  // MPNet: rows of the table of relative biases
};

// Sizes and names of a config.json with BERT's keys; `prefix` as found in the checkpoint ("bert.", "").
EncoderConfig encoder_from_hf(const ModelConfig& config, const orr_model_source& source, const std::string& prefix);
// Checks sizes against each other and writes the summary. Call last. longest: tokens that the positions allow.
void finish_encoder(EncoderConfig& e, const ModelConfig& config, const orr_model_source& source, int64_t longest);

void build_encoder(const EncoderConfig& e, const orr_model_source& source, std::string_view entry, Graph& g);
const char* const* encoder_operators();

}  // namespace orrery
#endif
