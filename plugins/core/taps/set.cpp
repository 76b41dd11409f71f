#include "common/tap.hpp"

namespace orrery::core {
namespace {
Value build(Graph&, const orr_tap_point& p) { return Value{p.operand}; }
}  // namespace
}  // namespace orrery::core

const orr_tap_kind* orr_tap_set() {
    static constexpr orr_tap_kind kind = orrery::core::edit_kind<orrery::core::build>("set", "y = v: activation patching", ORR_TAP_NEEDS_OPERAND);
    return &kind;
}
