#include "common/tap.hpp"

namespace {

const char* const kOutputs[] = {"values", "indices", nullptr};

void build(orr_builder* b, const orr_tap_point* p, orr_value* outs) {
    orrery::Graph g(b);
    const auto best = g.ops("orr.top_k/1", {orrery::Value{p->value}}, orrery::Attrs().set("k", p->count), 2);
    outs[0] = best[0].id;
    outs[1] = best[1].id;
}

}  // namespace

const orr_tap_kind* orr_tap_top_k() {
    static constexpr orr_tap_kind kind = {
        ORR_HEADER(orr_tap_kind), "top_k", "the count largest of the last axis and their places", ORR_TAP_NEEDS_COUNT, kOutputs, build};
    return &kind;
}
