// linear(norm(x) * w + b) -> linear'(norm(x)): with W' = W diag(w) and bias' = W b + bias the norm has no weight of its own left to apply.
// Only where every reader of the norm is a product with an f32 weight: in any other type W' would be rounded again.
#include "common/rewriting.hpp"

namespace orrery::core {
namespace {

struct Norm {
    const char* op;
    orr_value x, w, b;
    double offset;  // of w
    Attrs bare;     // attributes of the norm without weights
};

std::optional<Norm> norm_at(const Edit& edit, uint32_t node) {
    const bool rms = edit.is(node, "orr.rms_norm/1");
    if (!rms && !edit.is(node, "orr.layer_norm/1")) return std::nullopt;
    std::vector<orr_value> in = edit.inputs(node);
    in.resize(3, 0);
    const orr_attrs* a = edit.attrs(node);
    Norm n{rms ? "orr.rms_norm/1" : "orr.layer_norm/1", in[0], in[1], in[2], rms ? a->get_float(a, "weight_offset") : 0, Attrs().set("eps", a->get_float(a, "eps"))};
    if ((!n.w && !n.b) || (n.w && !(edit.constant(n.w) && edit.is_f32(n.w))) || (n.b && !(edit.constant(n.b) && edit.is_f32(n.b)))) return std::nullopt;
    return n;
}

// The products that read y, when nothing else does.
std::vector<LinearNode> readers(const Edit& edit, orr_value y) {
    std::vector<LinearNode> found;
    for (uint32_t n = 0; n < edit.count(); n++) {
        const auto linear = linear_at(edit, n);
        if (!linear || linear->x != y) continue;
        const bool takes = edit.constant(linear->w) && edit.is_f32(linear->w) && !linear->transposed && linear->scale == 1 && linear->residual != y &&
                           (!linear->bias || (edit.constant(linear->bias) && edit.is_f32(linear->bias)));
        if (!takes) return {};
        found.push_back(*linear);
    }
    return found.size() == edit.uses(y) ? found : std::vector<LinearNode>();
}

bool fold(Edit& edit, uint32_t node, const Norm& norm) {
    const orr_value y = edit.output(node);
    std::vector<LinearNode> products = readers(edit, y);
    if (products.empty()) return false;
    const orr_value scale = norm.offset == 0 ? norm.w : edit.make_constant("orr.affine/1", Attrs().set("offset", norm.offset), {norm.w});
    for (LinearNode& p : products) {
        const orr_value w = p.w;
        if (norm.b) p.bias = edit.make_constant(kLinear, {}, {norm.b, w, p.bias});
        if (norm.w) p.w = scale ? edit.make_constant("orr.mul/1", {}, {w, scale}) : 0;
        if (!p.w || !edit.same_shape(p.w, w) || (norm.b && !p.bias)) return false;
    }
    if (!edit.replace({node}, norm.op, norm.bare, {norm.x}, {y})) return false;
    for (const LinearNode& p : products)
        if (!edit.replace({p.node}, kLinear, p.attrs(), {p.x, p.w, p.bias, p.residual}, {p.y})) throw Error(ORR_INTERNAL, "orr.fold_norm/1: a product refused its folded weight");
    return true;
}

uint32_t apply(Edit& edit) {
    uint32_t applied = 0;
    for (uint32_t n = 0; n < edit.count(); n++)
        if (const auto norm = norm_at(edit, n)) applied += fold(edit, n, *norm);
    return applied;
}

}  // namespace
}  // namespace orrery::core

const orr_rewrite* orr_rewrite_fold_norm() {
    using namespace orrery::core;
    static const orr_rewrite rewrite = {ORR_HEADER(orr_rewrite), "orr.fold_norm/1", "a norm's weights inside the products that read it", 1u << ORR_NUMERICS_FAST,
                                        apply_guarded<apply>, nullptr};
    return &rewrite;
}
