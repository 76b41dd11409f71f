// The formula of orr.minimum/1 for chains on devices.
#include "common/formulas.hpp"

using namespace orrery;
using namespace orrery::core;
using expr::Number;

namespace {
Number formula(Number a, Number b) { return formulas::minimum(a, b); }
}  // namespace

const orr_formula* orr_formula_minimum() {
    static const orr_formula f = {ORR_HEADER(orr_formula), "orr.minimum/1", expr::emit_binary<formula>};
    return &f;
}
