#include "common/tap.hpp"

namespace orrery::core {
namespace {
Value build(Graph& g, const orr_tap_point& p) {
    return g.op("orr.reduce/1", {Value{p.value}}, Attrs().set("function", "mean").set("axes", std::vector<int64_t>{p.token_axis}).set("keepdims", true));
}
}  // namespace
}  // namespace orrery::core

const orr_tap_kind* orr_tap_mean() {
    static constexpr orr_tap_kind kind = orrery::core::reading_kind<orrery::core::build>("mean", "mean over the tokens: [B, T, …] -> [B, 1, …]", ORR_TAP_NEEDS_TOKENS);
    return &kind;
}
