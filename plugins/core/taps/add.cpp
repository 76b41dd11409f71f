#include "common/tap.hpp"

namespace orrery::core {
namespace {
Value build(Graph& g, const orr_tap_point& p) {
    return g.op("orr.add/1", {Value{p.value}, g.op("orr.mul/1", {Value{p.operand}, Value{p.factor}})});
}
}  // namespace
}  // namespace orrery::core

const orr_tap_kind* orr_tap_add() {
    static constexpr orr_tap_kind kind =
        orrery::core::edit_kind<orrery::core::build>("add", "y = x + factor v: a steering vector", ORR_TAP_NEEDS_FACTOR | ORR_TAP_NEEDS_OPERAND);
    return &kind;
}
