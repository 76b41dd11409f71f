// group(rms_norm(x)), or a lone product of it -> a group that normalises x itself: no step of its own, which on a device would wait for x and be waited for.
#include "common/rewriting.hpp"

namespace orrery::core {
namespace {

struct Norm {
    uint32_t node;
    orr_value x, w;
    double eps, offset;
};

std::optional<Norm> norm_of(const Edit& edit, orr_value value) {
    const auto node = edit.sole_producer(value);
    if (!node || !edit.is(*node, "orr.rms_norm/1")) return std::nullopt;
    std::vector<orr_value> in = edit.inputs(*node);
    in.resize(2, 0);
    const orr_attrs* a = edit.attrs(*node);
    return Norm{*node, in[0], in[1], a->get_float(a, "eps"), a->get_float(a, "weight_offset")};
}

bool fuse(Edit& edit, uint32_t node, const Norm& norm, const std::string& glu, const std::vector<orr_value>& parts, const std::vector<orr_value>& outs) {
    std::vector<orr_value> ins = {norm.x, norm.w};
    ins.insert(ins.end(), parts.begin(), parts.end());
    return edit.replace({norm.node, node}, kLinearGroup, Attrs().set("glu", glu).set("normed", true).set("eps", norm.eps).set("weight_offset", norm.offset), ins, outs);
}

uint32_t apply(Edit& edit) {
    uint32_t applied = 0;
    for (uint32_t n = 0; n < edit.count(); n++) {
        if (const auto linear = linear_at(edit, n)) {
            const auto norm = linear->product_only() ? norm_of(edit, linear->x) : std::nullopt;
            if (norm) applied += fuse(edit, n, *norm, "none", {linear->w, linear->bias}, {linear->y});
        } else if (edit.is(n, kLinearGroup) && edit.attrs(n)->get_int(edit.attrs(n), "normed") == 0) {
            const std::vector<orr_value> in = edit.inputs(n);
            if (const auto norm = norm_of(edit, in[0])) applied += fuse(edit, n, *norm, edit.text(n, "glu"), {in.begin() + 2, in.end()}, edit.outputs(n));
        }
    }
    return applied;
}

}  // namespace
}  // namespace orrery::core

const orr_rewrite* orr_rewrite_norm_into_group() {
    using namespace orrery::core;
    static const orr_rewrite rewrite = {ORR_HEADER(orr_rewrite), "orr.norm_into_group/1", "a norm inside the products that read it", kAllNumerics,
                                        apply_guarded<apply>, "vulkan"};
    return &rewrite;
}
