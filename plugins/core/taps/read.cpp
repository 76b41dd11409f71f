#include "common/tap.hpp"

namespace orrery::core {
namespace {
Value build(Graph&, const orr_tap_point& p) { return Value{p.value}; }
}  // namespace
}  // namespace orrery::core

const orr_tap_kind* orr_tap_read() {
    static constexpr orr_tap_kind kind = orrery::core::reading_kind<orrery::core::build>("read", "the whole value, [B, T, …]");
    return &kind;
}
