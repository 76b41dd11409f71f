// From the graph as a model built it to the graph that plans are made from: operators without a kernel expanded into
// smaller ones, nodes over constants folded, rewrites applied.
#pragma once
#include <set>

#include "engine/graph/graph.hpp"

namespace orrery {

struct RewriteCount {
    std::string id;
    uint32_t applied;
};

struct PreparedProgram {
    Program program;
    std::vector<RewriteCount> rewrites;
    uint32_t folded = 0, expanded = 0;
};

// What folding works with.
struct Folding {
    const orr_host* host;
    Registry& registry;
    std::shared_ptr<Memory> memory;
    Weights& weights;
};

// Makes the outputs of a node constants, computed by its reference kernel (or its view) when first needed. False, and nothing changed, where an
// input is not constant or the operator has neither.
bool fold_node(const Folding& folding, Program& program, const NodeDef& node);

// `kept`: values that must survive as they are (outputs and taps). Rewrites treat them as used elsewhere.
PreparedProgram prepare_program(const orr_host* host, Registry& registry, const std::shared_ptr<Memory>& memory, Weights& weights, const Program& source,
                                std::set<orr_value> kept, bool rewrites, uint32_t numerics, const std::string& device);

}  // namespace orrery
