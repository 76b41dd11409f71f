// Turns a model plugin's calls into a Program. The first failure is kept; calls after it do nothing.
#pragma once
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
    std::optional<Error> failure_;
    bool failed_ = false;
};

}  // namespace orrery
