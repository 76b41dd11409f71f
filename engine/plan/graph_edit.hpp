// A Program as rewrites see and change it.
#pragma once
#include <set>

#include "engine/graph/graph.hpp"

namespace orrery {

class GraphEdit {
  public:
    GraphEdit(const orr_host* host, Registry& registry, Program& program, const std::set<orr_value>& kept);
    orr_graph_edit* table() { return &table_.base; }

  private:
    struct Table {
        orr_graph_edit base;
        GraphEdit* self;
    } table_;
    static GraphEdit& of(const orr_graph_edit* g) { return *reinterpret_cast<const Table*>(g)->self; }
    bool replace(const std::vector<uint32_t>& nodes, const char* op_id, const char* attrs, const std::vector<orr_value>& ins, const std::vector<orr_value>& outs);
    uint32_t uses(orr_value v) const;

    const orr_host* host_;
    Registry& registry_;
    Program& program_;
    const std::set<orr_value>& kept_;
};

}  // namespace orrery
