// The formula of orr.clamp/1 for chains on devices; a NaN stays.
#include "common/formulas.hpp"
#include "ops/clamp/clamp.hpp"

using namespace orrery;
using expr::Number;

namespace {
Number formula(Number x, const orr_attrs* a) {
    const float low = core::clamp_bound(a->get_float(a, "min")), high = core::clamp_bound(a->get_float(a, "max"));
    const Number raised = select(x < low, low, x);
    return core::formulas::keep_nan(x, select(raised > high, high, raised));
}
}  // namespace

const orr_formula* orr_formula_clamp() {
    static const orr_formula f = {ORR_HEADER(orr_formula), "orr.clamp/1", expr::emit_unary<formula>};
    return &f;
}
