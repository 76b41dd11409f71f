// What entries that predict a next token have beside "logits": the value "token", chosen by orr.sample/1 where the logits lie.
// The models' info says "samples": true. Inputs "sampling" [B, 4] and "random" [B, 2] may both be absent: the likeliest token.
#ifndef ORRERY_MODEL_SAMPLING_GRAPH_H
#define ORRERY_MODEL_SAMPLING_GRAPH_H

#include "orrery/plugin.hpp"

namespace orrery {

// A named value, no output: plans that do not want it are without it.
inline void name_token(Graph& g, Value logits, orr_dim batch) {
    const Value parameters = g.input("sampling", ORR_TYPE_F32, {batch, 4}, ORR_INPUT_OPTIONAL), random = g.input("random", ORR_TYPE_I32, {batch, 2}, ORR_INPUT_OPTIONAL);
    g.named("token", g.op("orr.sample/1", {logits, parameters, random}));
}

}  // namespace orrery
#endif
