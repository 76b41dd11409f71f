// Products of one x by several weights (q, k, v) -> one group: x is read (and quantised) once, one parallel job.
#include "common/rewriting.hpp"

namespace orrery::core {
namespace {

constexpr size_t kMostParts = 3;     // more (every layer's keys of an encoder's output) would keep all results alive at once
constexpr uint32_t kMostApart = 24;  // nodes between the first part and the last

uint32_t apply(Edit& edit) {
    uint32_t applied = 0;
    for (uint32_t n = 0; n < edit.count(); n++) {
        const auto first = linear_at(edit, n);
        if (!first || !first->product_only() || edit.constant(first->x)) continue;
        std::vector<uint32_t> nodes = {n};
        std::vector<orr_value> ins = {first->x, 0, first->w, first->bias}, outs = {first->y};
        for (uint32_t m = n + 1; m < edit.count() && m <= n + kMostApart && nodes.size() < kMostParts; m++) {
            const auto other = linear_at(edit, m);
            if (!other || !other->product_only() || other->x != first->x) continue;
            nodes.push_back(m);
            ins.insert(ins.end(), {other->w, other->bias});
            outs.push_back(other->y);
        }
        if (nodes.size() > 1) applied += edit.replace(nodes, kLinearGroup, {}, ins, outs);
    }
    return applied;
}

}  // namespace
}  // namespace orrery::core

const orr_rewrite* orr_rewrite_merge_linear() {
    using namespace orrery::core;
    static const orr_rewrite rewrite = {ORR_HEADER(orr_rewrite), "orr.merge_linear/1", "products of one input as one group", kAllNumerics,
                                        apply_guarded<apply>, nullptr};
    return &rewrite;
}
