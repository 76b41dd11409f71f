// What a checkpoint says about making a vector of a text.
#ifndef ORRERY_TASKS_RECIPE_HPP
#define ORRERY_TASKS_RECIPE_HPP

#include <cstdint>
#include <string>
#include <vector>

#include "orrery/plugin.h"
#include "pooling.hpp"

namespace orrery::embedding {

struct Recipe {
    std::vector<Pooling> modes{Pooling::kMean};  // sentence-transformers' choice for a plain checkpoint
    bool normalise = false;
    int64_t max_tokens = 0;  // 0: no limit
    bool lower_case = false;
    std::string prompt;  // put before each text
};

// From modules.json, <pooling folder>/config.json, sentence_bert_config.json and config_sentence_transformers.json; for a
// GGUF from <architecture>.pooling_type. context: the model's longest sequence, 0: none. Throws Error by name for what it
// cannot follow.
Recipe read_recipe(const orr_files* files, const orr_checkpoint* checkpoint, int64_t context);

}  // namespace orrery::embedding
#endif
