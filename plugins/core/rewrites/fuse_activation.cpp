// activation(linear(x)) -> linear(x, activation): the function is applied while the product's tile lies in the cache.
#include <algorithm>
#include <array>

#include "common/rewriting.hpp"

namespace orrery::core {
namespace {

bool in_epilogue(const std::string& function) {
    static constexpr std::array<std::string_view, 7> names = {"gelu", "gelu_tanh", "quick_gelu", "silu", "relu", "tanh", "sigmoid"};
    return std::find(names.begin(), names.end(), function) != names.end();
}

uint32_t apply(Edit& edit) {
    uint32_t applied = 0;
    for (uint32_t n = 0; n < edit.count(); n++) {
        if (!edit.is(n, "orr.activation/1")) continue;
        const std::string function = edit.text(n, "function");
        auto linear = sole_linear(edit, edit.inputs(n)[0]);
        if (!linear || linear->residual || linear->activation != "none" || !in_epilogue(function)) continue;
        linear->activation = function;
        applied += edit.replace({linear->node, n}, kLinear, linear->attrs(), {linear->x, linear->w, linear->bias}, {edit.output(n)});
    }
    return applied;
}

}  // namespace
}  // namespace orrery::core

const orr_rewrite* orr_rewrite_fuse_activation() {
    using namespace orrery::core;
    static const orr_rewrite rewrite = {ORR_HEADER(orr_rewrite), "orr.fuse_activation/1", "activation(linear(x)) as one product", kAllNumerics,
                                        apply_guarded<apply>, nullptr};
    return &rewrite;
}
