// The formula of orr.sub/1 for chains on devices.
#include "orrery/expression.hpp"

using namespace orrery;
using expr::Number;

namespace {
Number formula(Number a, Number b) { return a - b; }
}  // namespace

const orr_formula* orr_formula_sub() {
    static const orr_formula f = {ORR_HEADER(orr_formula), "orr.sub/1", expr::emit_binary<formula>};
    return &f;
}
