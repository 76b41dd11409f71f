// Rotary position tables of every scaling that checkpoints name.
// Su et al. 2021, arXiv:2104.09864 (rotary) · Peng et al. 2023, arXiv:2309.00071 (yarn) · Ding et al. 2024, arXiv:2402.13753 (longrope) ·
// Grattafiori et al. 2024, arXiv:2407.21783 (llama3). Values agree with transformers' modeling_rope_utils.py.
#ifndef ORRERY_COMMON_MODEL_ROPE_CONFIG_H
#define ORRERY_COMMON_MODEL_ROPE_CONFIG_H

#include <string>
#include <vector>

#include "model/config.h"

namespace orrery {

struct RopeTable {
    std::vector<float> inv_freq;       // [R/2]
    std::vector<float> long_inv_freq;  // longrope: used by sequences longer than switch_length; else empty
    double scale = 1;                  // of cos and sin
    double long_scale = 1;
    int64_t switch_length = 0;
    // Dynamic NTK: sequences of L > dynamic_length tokens turn inv_freq[i] into
    // inv_freq[i] * (factor * L / dynamic_length - (factor - 1)) ^ (-2i / (R - 2)).
    double dynamic_factor = 0;  // 0: not dynamic
    int64_t dynamic_length = 0;
    int64_t reach = 0;  // tokens that the scaling stretches the model to, where that may be more than max_position_embeddings; else 0
};

// What a rope description is read with, where it does not say so itself.
struct RopeDefaults {
    int64_t head_dim = 0;
    int64_t max_positions = 0;  // max_position_embeddings
    double theta = 10000;
    double partial = 1;              // share of head_dim that rotates
    int64_t original_positions = 0;  // a config-wide original_max_position_embeddings, which wins; 0: none
};

// Hugging Face. `parameters` is rope_parameters or the older rope_scaling, NULL for plain rope.
RopeTable hf_rope(const Json* parameters, const std::string& label, const RopeDefaults& defaults);
// Finds rope_parameters / rope_scaling / rope_theta / partial_rotary_factor in a whole config.json.
RopeTable hf_rope(const ModelConfig& config, RopeDefaults defaults);
// GGUF: <arch>.rope.*, and the tensors rope_freqs, rope_factors_long and rope_factors_short.
RopeTable gguf_rope(const ModelConfig& config, const orr_model_source& source, const RopeDefaults& defaults);
// Plain table, each frequency divided by `divisor`.
RopeTable plain_rope(int64_t rotary_dim, double theta, double divisor = 1);

}  // namespace orrery
#endif
