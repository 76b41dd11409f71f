#include "common/tap.hpp"

namespace orrery::core {
namespace {
Value build(Graph& g, const orr_tap_point& p) {
    const Value x{p.value};
    return g.op("orr.reduce/1", {x}, Attrs().set("function", "l2").set("axes", std::vector<int64_t>{last_axis(g, x)}).set("keepdims", false));
}
}  // namespace
}  // namespace orrery::core

const orr_tap_kind* orr_tap_norm() {
    static constexpr orr_tap_kind kind = orrery::core::reading_kind<orrery::core::build>("norm", "sqrt(sum x^2) over the last axis");
    return &kind;
}
