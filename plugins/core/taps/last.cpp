#include "common/tap.hpp"

#include <climits>

namespace orrery::core {
namespace {
Value build(Graph& g, const orr_tap_point& p) {
    return g.op("orr.slice/1", {Value{p.value}}, Attrs().set("axis", p.token_axis).set("start", -1).set("end", INT64_MAX));
}
}  // namespace
}  // namespace orrery::core

const orr_tap_kind* orr_tap_last() {
    static constexpr orr_tap_kind kind = orrery::core::reading_kind<orrery::core::build>("last", "the last token's: [B, T, …] -> [B, 1, …]", ORR_TAP_NEEDS_TOKENS);
    return &kind;
}
