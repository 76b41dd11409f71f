// linear(x) * s -> linear(x, scale s), for orr.fold_scale/1 (s a power of two: the same bits) and orr.fold_scale_rounded/1 (any s: one
// rounding more or less).
#pragma once

#include <cmath>

#include "common/rewriting.hpp"

namespace orrery::core {

inline bool is_power_of_two(double s) {
    int exponent = 0;
    return std::isfinite(s) && std::fabs(std::frexp(s, &exponent)) == 0.5;
}

inline bool is_factor(double s) { return std::isfinite(s) && s != 0; }

// Whether another product reads x: those are worth more merged (orr.merge_linear/1), and a scaled one does not merge.
inline bool has_sibling(const Edit& edit, const LinearNode& linear) {
    for (uint32_t n = 0; n < edit.count(); n++) {
        const auto other = n == linear.node ? std::nullopt : linear_at(edit, n);
        if (other && other->x == linear.x) return true;
    }
    return false;
}

template <bool (*Takes)(double)>
uint32_t apply_fold_scale(Edit& edit) {
    uint32_t applied = 0;
    for (uint32_t n = 0; n < edit.count(); n++) {
        if (!edit.is(n, "orr.affine/1")) continue;
        const orr_attrs* a = edit.attrs(n);
        const double scale = a->get_float(a, "scale");
        if (a->get_float(a, "offset") != 0 || !Takes(scale)) continue;
        auto linear = sole_linear(edit, edit.inputs(n)[0]);
        // A bias or a residual would have to be scaled too, and an activation stands before the factor.
        if (!linear || linear->bias || linear->residual || linear->activation != "none" || has_sibling(edit, *linear)) continue;
        linear->scale *= scale;
        applied += edit.replace({linear->node, n}, kLinear, linear->attrs(), {linear->x, linear->w}, {edit.output(n)});
    }
    return applied;
}

}  // namespace orrery::core
