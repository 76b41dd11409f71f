// How a tap kind is written: edits give what stands where they apply, reductions what is read.
#pragma once
#include <string>

#include "orrery/ext/taps.h"
#include "orrery/plugin.hpp"

namespace orrery::core {

// A kind whose Build makes what takes the value's place at the point's rows.
template <Value (*Build)(Graph&, const orr_tap_point&)>
constexpr orr_tap_kind edit_kind(const char* id, const char* summary, uint32_t needs = 0) {
    return {ORR_HEADER(orr_tap_kind), id, summary, ORR_TAP_EDIT | needs, nullptr, [](orr_builder* b, const orr_tap_point* p, orr_value* outs) {
                Graph g(b);
                const Value edited = Build(g, *p);
                // Everywhere: a choice all the same, so that nothing of the old value (NaN times 0) is left.
                const bool holds = true;
                const int64_t one = 1;
                const Value rows = p->rows ? Value{p->rows} : Value{b->constant(b, "tap.everywhere", ORR_TYPE_BOOL, 1, &one, &holds)};
                outs[0] = g.op("orr.where/1", {rows, edited, Value{p->value}}).id;
            }};
}

template <Value (*Build)(Graph&, const orr_tap_point&)>
constexpr orr_tap_kind reading_kind(const char* id, const char* summary, uint32_t needs = 0) {
    return {ORR_HEADER(orr_tap_kind), id, summary, needs, nullptr, [](orr_builder* b, const orr_tap_point* p, orr_value* outs) {
                Graph g(b);
                outs[0] = Build(g, *p).id;
            }};
}

inline int32_t last_axis(Graph& g, Value x) { return g.info(x).rank - 1; }

}  // namespace orrery::core
