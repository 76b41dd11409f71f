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

// Reference kernel over constant inputs, now. Used by folding.
Buffer fold_node(const orr_host* host, const std::shared_ptr<Memory>& memory, Weights& weights, const orr_operator& op, const NodeAttrs& attrs,
                 const std::vector<std::shared_ptr<Constant>>& ins, const std::vector<orr_tensor>& outs, size_t which);

// `kept`: values that must survive as they are (outputs and taps). Rewrites treat them as used elsewhere.
PreparedProgram prepare_program(const orr_host* host, Registry& registry, const std::shared_ptr<Memory>& memory, Weights& weights, const Program& source,
                                const std::set<orr_value>& kept, bool rewrites, uint32_t numerics, const std::string& device);

}  // namespace orrery
