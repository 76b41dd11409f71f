// A Program as rewrites see and change it.
#pragma once
#include <set>

#include "engine/plan/prepare_program.hpp"

namespace orrery {

class GraphEdit {
  public:
    GraphEdit(const Folding& folding, Program& program, const std::set<orr_value>& kept);
    orr_graph_edit* table() { return &table_.base; }

  private:
    struct Table {
        orr_graph_edit base;
        GraphEdit* self;
    } table_;
    static GraphEdit& of(const orr_graph_edit* g) { return *reinterpret_cast<const Table*>(g)->self; }
    bool replace(const std::vector<uint32_t>& nodes, const char* op_id, const char* attrs, const std::vector<orr_value>& ins, const std::vector<orr_value>& outs);
    orr_value constant(const char* op_id, const char* attrs, const std::vector<orr_value>& ins);
    std::vector<orr_value_info> infer(const orr_operator& op, const NodeAttrs& attrs, const std::vector<orr_value>& ins, size_t n_outs) const;
    uint32_t uses(orr_value v) const;

    const Folding& folding_;
    const orr_host* host_;
    Registry& registry_;
    Program& program_;
    const std::set<orr_value>& kept_;
};

}  // namespace orrery
