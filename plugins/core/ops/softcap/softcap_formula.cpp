// The formula of orr.softcap/1 for chains on devices.
#include "common/formulas.hpp"

using namespace orrery;
using expr::Number;

namespace {
Number formula(Number x, const orr_attrs* a) {
    const auto cap = static_cast<float>(a->get_float(a, "cap"));
    return core::formulas::tanh(x / cap) * cap;
}
}  // namespace

const orr_formula* orr_formula_softcap() {
    static const orr_formula f = {ORR_HEADER(orr_formula), "orr.softcap/1", expr::emit_unary<formula>};
    return &f;
}
