// What the rewrites of this folder share: reading nodes of a graph under rewriting, and linear nodes among them.
#pragma once
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "orrery/plugin.hpp"

namespace orrery::core {

class Edit {
  public:
    explicit Edit(orr_graph_edit* g) : g_(g) {}
    uint32_t count() const { return g_->node_count(g_); }
    bool is(uint32_t node, std::string_view op) const {
        const char* id = g_->op(g_, node);
        return id && op == id;
    }
    std::vector<orr_value> inputs(uint32_t node) const {
        const orr_value* v = nullptr;
        const uint32_t n = g_->inputs(g_, node, &v);
        return {v, v + n};
    }
    orr_value output(uint32_t node) const {
        const orr_value* v = nullptr;
        return g_->outputs(g_, node, &v) ? v[0] : 0;
    }
    std::vector<orr_value> outputs(uint32_t node) const {
        const orr_value* v = nullptr;
        const uint32_t n = g_->outputs(g_, node, &v);
        return {v, v + n};
    }
    const orr_attrs* attrs(uint32_t node) const { return g_->attrs(g_, node); }
    std::string text(uint32_t node, const char* attr) const { return attrs(node)->get_string(attrs(node), attr); }
    // The node that defines `value` for exactly one reader.
    std::optional<uint32_t> sole_producer(orr_value value) const {
        const int64_t node = value && g_->uses(g_, value) == 1 ? g_->producer(g_, value) : -1;
        return node < 0 ? std::nullopt : std::optional<uint32_t>(static_cast<uint32_t>(node));
    }
    bool constant(orr_value value) const { return g_->is_constant(g_, value); }
    // Equal types and dimensions, known without binding.
    bool same_shape(orr_value a, orr_value b) const {
        orr_value_info x{}, y{};
        x.header = y.header = ORR_HEADER(orr_value_info);
        if (!g_->info(g_, a, &x) || !g_->info(g_, b, &y) || x.type != y.type || x.rank != y.rank) return false;
        for (int32_t i = 0; i < x.rank; i++)
            if (x.dims[i] != y.dims[i]) return false;
        return true;
    }
    bool replace(const std::vector<uint32_t>& nodes, const char* op, const Attrs& attrs, const std::vector<orr_value>& ins,
                 const std::vector<orr_value>& outs) {
        return g_->replace(g_, static_cast<uint32_t>(nodes.size()), nodes.data(), op, attrs.json().c_str(), static_cast<uint32_t>(ins.size()),
                           ins.data(), static_cast<uint32_t>(outs.size()), outs.data());
    }
    // op over constants, as a constant. 0 where it cannot be.
    orr_value make_constant(const char* op, const Attrs& attrs, const std::vector<orr_value>& ins) {
        return g_->constant(g_, op, attrs.json().c_str(), static_cast<uint32_t>(ins.size()), ins.data());
    }
    uint32_t uses(orr_value value) const { return g_->uses(g_, value); }
    bool is_f32(orr_value value) const {
        orr_value_info info{};
        info.header = ORR_HEADER(orr_value_info);
        return g_->info(g_, value, &info) && info.type == ORR_TYPE_F32;
    }

  private:
    orr_graph_edit* g_;
};

inline constexpr char kLinear[] = "orr.linear/1";
inline constexpr char kLinearGroup[] = "orr.linear_group/1";

struct LinearNode {
    uint32_t node = 0;
    orr_value x = 0, w = 0, bias = 0, residual = 0, y = 0;
    std::string activation;
    bool transposed = false;
    double scale = 1;

    // y = x w^T + bias, nothing else.
    bool product_only() const { return !residual && activation == "none" && !transposed && scale == 1; }
    Attrs attrs() const { return Attrs().set("activation", activation).set("transposed", transposed).set("scale", scale); }
};

inline std::optional<LinearNode> linear_at(const Edit& edit, uint32_t node) {
    if (!edit.is(node, kLinear)) return std::nullopt;
    std::vector<orr_value> in = edit.inputs(node);
    in.resize(4, 0);
    const orr_attrs* a = edit.attrs(node);
    return LinearNode{node,
                      in[0],
                      in[1],
                      in[2],
                      in[3],
                      edit.output(node),
                      edit.text(node, "activation"),
                      a->get_int(a, "transposed") != 0,
                      a->get_float(a, "scale")};
}

// The linear node whose output only `value`'s one reader sees.
inline std::optional<LinearNode> sole_linear(const Edit& edit, orr_value value) {
    const auto node = edit.sole_producer(value);
    return node ? linear_at(edit, *node) : std::nullopt;
}

inline constexpr uint32_t kAllNumerics = 1u << ORR_NUMERICS_DEFAULT | 1u << ORR_NUMERICS_EXACT | 1u << ORR_NUMERICS_FAST;

// Wraps a throwing rewrite; what it applied before a failure stands.
template <uint32_t (*Apply)(Edit&)>
uint32_t apply_guarded(orr_graph_edit* g) noexcept {
    uint32_t applied = 0;
    guard(g->host, [&] {
        Edit edit(g);
        applied = Apply(edit);
    });
    return applied;
}

}  // namespace orrery::core
