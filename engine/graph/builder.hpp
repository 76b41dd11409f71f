// Turns a model plugin's calls into a Program. The first failure is kept; calls after it do nothing.
#pragma once
#include <functional>
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
    // Tensors of files beside the checkpoint; nullptr where the file has none of the name. Must outlive the building.
    using FileTensor = std::function<std::shared_ptr<Constant>(const std::string& path, const std::string& name, const std::vector<int64_t>& shape)>;
    void set_file_tensors(FileTensor find) { file_tensor_ = std::move(find); }
    Program finish();

    // Nodes that come belong to the region and the group.
    void enter(uint32_t region, uint32_t group = 0) { open_.assign(1, region), group_ = entered_ = group; }
    void begin_if(orr_value flag, bool otherwise);
    void end_if();
    void begin_concurrent();
    void end_concurrent();
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
    FileTensor file_tensor_;
    std::vector<uint32_t> open_{0};  // regions, the innermost last
    uint32_t group_ = 0, entered_ = 0, concurrent_ = 0;  // group now, outside of pairs; pairs that are open
    std::optional<Error> failure_;
    bool failed_ = false;
};

// Lets fn build nodes of a region and a group in front of program.nodes[at].
template <class Fn>
void insert_nodes(const orr_host* host, Registry& registry, Weights& weights, Program& program, size_t at, uint32_t region, uint32_t group, Fn&& fn) {
    std::vector<NodeDef> tail(program.nodes.begin() + static_cast<std::ptrdiff_t>(at), program.nodes.end());
    program.nodes.erase(program.nodes.begin() + static_cast<std::ptrdiff_t>(at), program.nodes.end());
    GraphBuilder b(host, registry, weights, program.model, program.entry);
    b.graph() = std::move(program);
    b.table()->dims = b.graph().dims->table();
    b.enter(region, group);
    fn(b);
    program = b.finish();
    program.nodes.insert(program.nodes.end(), tail.begin(), tail.end());
}
// Of the region and the group of the node before them.
template <class Fn>
void insert_nodes(const orr_host* host, Registry& registry, Weights& weights, Program& program, size_t at, Fn&& fn) {
    insert_nodes(host, registry, weights, program, at, at ? program.nodes[at - 1].region : 0, at ? program.nodes[at - 1].group : 0, fn);
}

// Nodes from `from` on, outputs, states and flags of regions that read `was` read `is` instead.
void redirect(Program& program, orr_value was, orr_value is, size_t from);

}  // namespace orrery
