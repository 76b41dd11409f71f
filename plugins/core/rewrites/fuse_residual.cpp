// linear(x) + r -> linear(x, residual r), where both have one shape: the sum costs no pass of its own.
#include "common/rewriting.hpp"

namespace orrery::core {
namespace {

bool fuse(Edit& edit, uint32_t sum, orr_value product, orr_value residual) {
    const auto linear = sole_linear(edit, product);
    if (!linear || linear->residual || !edit.same_shape(product, residual)) return false;
    return edit.replace({linear->node, sum}, kLinear, linear->attrs(), {linear->x, linear->w, linear->bias, residual}, {edit.output(sum)});
}

uint32_t apply(Edit& edit) {
    uint32_t applied = 0;
    for (uint32_t n = 0; n < edit.count(); n++) {
        if (!edit.is(n, "orr.add/1")) continue;
        const std::vector<orr_value> in = edit.inputs(n);
        applied += fuse(edit, n, in[1], in[0]) || fuse(edit, n, in[0], in[1]);
    }
    return applied;
}

}  // namespace
}  // namespace orrery::core

const orr_rewrite* orr_rewrite_fuse_residual() {
    using namespace orrery::core;
    static const orr_rewrite rewrite = {ORR_HEADER(orr_rewrite), "orr.fuse_residual/1", "linear(x) + r as one product", kAllNumerics,
                                        apply_guarded<apply>, nullptr};
    return &rewrite;
}
