// The formula of orr.affine/1 for chains on devices: two roundings.
#include "orrery/expression.hpp"

using namespace orrery;
using expr::Number;

namespace {
Number formula(Number x, const orr_attrs* a) { return x * static_cast<float>(a->get_float(a, "scale")) + static_cast<float>(a->get_float(a, "offset")); }
}  // namespace

const orr_formula* orr_formula_affine() {
    static const orr_formula f = {ORR_HEADER(orr_formula), "orr.affine/1", expr::emit_unary<formula>};
    return &f;
}
