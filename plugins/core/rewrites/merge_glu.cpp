// act(x w0^T + b0) * (x w1^T + b1) -> one gated group: x is read (and quantised) once, the halves are never stored.
// Shazeer 2020, arXiv:2002.05202.
#include "common/rewriting.hpp"

namespace orrery::core {
namespace {

struct Gate {
    std::vector<uint32_t> nodes;
    LinearNode linear;
    std::string function;
};

std::optional<Gate> gate_of(const Edit& edit, orr_value value) {
    const auto node = edit.sole_producer(value);
    if (!node) return std::nullopt;
    Gate gate;
    if (edit.is(*node, "orr.activation/1")) {
        const auto linear = sole_linear(edit, edit.inputs(*node)[0]);
        if (!linear || !linear->product_only()) return std::nullopt;
        gate = {{linear->node, *node}, *linear, edit.text(*node, "function")};
    } else if (auto linear = linear_at(edit, *node)) {  // an activation that joined its product already
        gate = {{*node}, *linear, linear->activation};
        linear->activation = "none";
        if (!linear->product_only()) return std::nullopt;
    } else {
        return std::nullopt;
    }
    const bool known = gate.function == "silu" || gate.function == "gelu" || gate.function == "gelu_tanh";
    return known ? std::optional<Gate>(gate) : std::nullopt;
}

bool merge(Edit& edit, uint32_t product, orr_value gated, orr_value plain) {
    const auto up = sole_linear(edit, plain);
    const auto gate = up && up->product_only() ? gate_of(edit, gated) : std::nullopt;
    if (!gate || gate->linear.x != up->x || !edit.same_shape(gated, plain)) return false;
    std::vector<uint32_t> nodes = gate->nodes;
    nodes.insert(nodes.end(), {up->node, product});
    return edit.replace(nodes, kLinearGroup, Attrs().set("glu", gate->function), {up->x, 0, gate->linear.w, gate->linear.bias, up->w, up->bias},
                        {edit.output(product)});
}

uint32_t apply(Edit& edit) {
    uint32_t applied = 0;
    for (uint32_t n = 0; n < edit.count(); n++) {
        if (!edit.is(n, "orr.mul/1")) continue;
        const std::vector<orr_value> in = edit.inputs(n);
        applied += merge(edit, n, in[0], in[1]) || merge(edit, n, in[1], in[0]);
    }
    return applied;
}

}  // namespace
}  // namespace orrery::core

const orr_rewrite* orr_rewrite_merge_glu() {
    using namespace orrery::core;
    static const orr_rewrite rewrite = {ORR_HEADER(orr_rewrite), "orr.merge_glu/1", "a gated unit's two products as one group", kAllNumerics,
                                        apply_guarded<apply>, nullptr};
    return &rewrite;
}
