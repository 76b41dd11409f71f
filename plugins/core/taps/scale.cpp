#include "common/tap.hpp"

namespace orrery::core {
namespace {
Value build(Graph& g, const orr_tap_point& p) { return g.op("orr.mul/1", {Value{p.value}, Value{p.factor}}); }
}  // namespace
}  // namespace orrery::core

const orr_tap_kind* orr_tap_scale() {
    static constexpr orr_tap_kind kind = orrery::core::edit_kind<orrery::core::build>("scale", "y = factor x", ORR_TAP_NEEDS_FACTOR);
    return &kind;
}
