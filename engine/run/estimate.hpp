// What a model will need, told without reading its weights.
#pragma once
#include "engine/run/model.hpp"

namespace orrery {

struct Need {
    uint64_t weight_bytes = 0;     // repacked, computed, read, or used in the mapped file
    uint64_t mapped_bytes = 0;     // of these, what stays in the mapped file: no budget counts it
    uint64_t state_bytes = 0;      // as a session reserves them
    uint64_t workspace_bytes = 0;  // arena and memory of plans, and what only planning needs above that
    uint64_t allocated() const { return weight_bytes - mapped_bytes + state_bytes + workspace_bytes; }
};

// For one session of one sequence, default numerics and every thread of the engine: a prompt in chunks of at most 512 tokens, then single tokens.
// `model` was opened to be measured. context: 0 where the model has none.
Need estimate_need(Model& model, int64_t context);

}  // namespace orrery
