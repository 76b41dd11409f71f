// Turns a model plugin's calls into a Program. The first failure is kept; calls after it do nothing.
#pragma once
#include <map>
#include <optional>
#include <string>

#include "engine/graph/graph.hpp"
#include "orrery/plugin.hpp"

namespace orrery {

class GraphBuilder {
  public:
    GraphBuilder(const orr_host* host, Registry& registry, Weights& weights, std::string model, std::string entry);
    GraphBuilder(const GraphBuilder&) = delete;
    GraphBuilder& operator=(const GraphBuilder&) = delete;

    orr_builder* table() { return &table_.base; }
    // The finished graph. Throws the first failure.
    bool failed() const { return failed_; }
    // Values of the controls that are not neutral, by name, as JSON; must outlive the building.
    void set_controls(const std::map<std::string, std::string>* controls) { controls_ = controls; }
    Program finish();

    orr_value input(const std::string& name, uint32_t type, const std::vector<orr_dim>& dims, uint32_t flags, bool positions);
    orr_value constant(std::shared_ptr<Constant> c, const std::string& name);
    orr_value state(const StateDef& def, orr_dim batch);
    void set_state(const std::string& name, orr_value v);
    std::vector<orr_value> node(const std::string& op, const std::string& attrs, const std::vector<orr_value>& ins, size_t n_outs);
    void name(orr_value v, const std::string& path);
    void output(const std::string& name, orr_value v);
    Program& graph() { return graph_; }
    Weights& weights() { return weights_; }

  private:
    struct Table {
        orr_builder base;
        GraphBuilder* self;
    } table_;
    static GraphBuilder& of(orr_builder* b) { return *reinterpret_cast<Table*>(b)->self; }
    void fill_table();
    void require(orr_value v, const char* what) const;
    // Runs fn unless something has failed before; keeps the failure.
    template <class T, class Fn>
    T step(T otherwise, Fn&& fn) noexcept;

    const orr_host* host_;
    Registry& registry_;
    Weights& weights_;
    Program graph_;
    const std::map<std::string, std::string>* controls_ = nullptr;
    std::optional<Error> failure_;
    bool failed_ = false;
};

// Lets fn build nodes in front of program.nodes[at].
template <class Fn>
void insert_nodes(const orr_host* host, Registry& registry, Weights& weights, Program& program, size_t at, Fn&& fn) {
    std::vector<NodeDef> tail(program.nodes.begin() + static_cast<std::ptrdiff_t>(at), program.nodes.end());
    program.nodes.erase(program.nodes.begin() + static_cast<std::ptrdiff_t>(at), program.nodes.end());
    GraphBuilder b(host, registry, weights, program.model, program.entry);
    b.graph() = std::move(program);
    b.table()->dims = b.graph().dims->table();
    fn(b);
    program = b.finish();
    program.nodes.insert(program.nodes.end(), tail.begin(), tail.end());
}

}  // namespace orrery
