#include "common/tap.hpp"

namespace orrery::core {
namespace {
Value build(Graph& g, const orr_tap_point&) { return g.constant("tap.zero", {0.0f}); }
}  // namespace
}  // namespace orrery::core

const orr_tap_kind* orr_tap_zero() {
    static constexpr orr_tap_kind kind = orrery::core::edit_kind<orrery::core::build>("zero", "y = 0");
    return &kind;
}
