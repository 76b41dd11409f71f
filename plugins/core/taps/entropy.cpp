// -sum p ln p with p = softmax(x) (Shannon 1948), in nats.
#include "common/tap.hpp"

namespace orrery::core {
namespace {

Value build(Graph& g, const orr_tap_point& p) {
    const Value x{p.value};
    const int64_t axis = last_axis(g, x);
    const Value probability = g.op("orr.softmax/1", {x}, Attrs().set("axis", axis));
    // Where p is 0, p ln p is: the logarithm only has to be finite.
    Value log = g.op("orr.clamp/1", {probability}, Attrs().set("min", 1e-37));
    log = g.op("orr.activation/1", {log}, Attrs().set("function", "log"));
    const Value sum = g.op("orr.reduce/1", {g.op("orr.mul/1", {probability, log})}, Attrs().set("function", "sum").set("axes", std::vector<int64_t>{axis}).set("keepdims", false));
    return g.op("orr.affine/1", {sum}, Attrs().set("scale", -1.0));
}

}  // namespace
}  // namespace orrery::core

const orr_tap_kind* orr_tap_entropy() {
    static constexpr orr_tap_kind kind = orrery::core::reading_kind<orrery::core::build>("entropy", "-sum p ln p, p = softmax(x), over the last axis: nats");
    return &kind;
}
