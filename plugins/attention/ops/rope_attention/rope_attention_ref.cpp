// The definition: what rope leaves is f32, what the append leaves of the cache's type; attention reads that.
#include <vector>

#include "ops/rope_attention/rope_attention.hpp"

namespace orrery::attention {
namespace {

bool supports(const orr_prepare* p, char* reason, size_t size) {
    return takes_pages(*p->inputs[kTurnKeyState], "k_state", reason, size) && takes_pages(*p->inputs[kTurnValueState], "v_state", reason, size);
}

orr_status prepare(orr_prepare* p) {
    return guard(p->host, [&] {
        const AttentionOperands o = attention_operands(p, kTurnAttention);
        p->workspace(p, attention_reference_bytes(o) + turned_query(*o.q).size_bytes);
    });
}

orr_status run(const orr_run* run) {
    return guard(run->host, [&] {
        AttentionOperands o = attention_operands(run, kTurnAttention);
        const orr_tensor &q = *o.q, &k = *run->inputs[kTurnKey], &v = *run->inputs[kTurnValue];
        check_states(run);
        const Rotation rotation(RotationAttrs(run->attrs, kTurnNames), *run->inputs[kTurnPositions], *run->inputs[kTurnFreq], flt::input(run, kTurnLongFreq));
        std::vector<double> row(static_cast<size_t>(std::max(q.shape[3], v.shape[3])));
        auto* scores = static_cast<double*>(run->workspace);
        auto* to = reinterpret_cast<float*>(scores + o.k->shape[1]);
        const orr_tensor turned = turned_query(q, to);
        for (int64_t b = 0; b < q.shape[0]; ++b)
            for (int64_t t = 0; t < q.shape[1]; ++t) {
                for (int64_t h = 0; h < q.shape[2]; ++h) {
                    rotation.turn(q, b, t, h, row.data());
                    for (int64_t d = 0; d < q.shape[3]; ++d) *to++ = static_cast<float>(row[static_cast<size_t>(d)]);
                }
                for (int64_t h = 0; h < k.shape[2]; ++h) {
                    rotation.turn(k, b, t, h, row.data());
                    for (double& x : row) x = static_cast<float>(x);
                    store_row(*o.k, b, page_table(*o.k, b).past + t, h, row.data());
                    for (int64_t d = 0; d < v.shape[3]; ++d) row[static_cast<size_t>(d)] = flt::number(v, {b, t, h, d});
                    store_row(*o.v, b, page_table(*o.v, b).past + t, h, row.data());
                }
            }
        o.q = &turned;
        attention_reference(run->attrs, o, scores);
    });
}

}  // namespace

const KernelDef kRopeAttentionReference = {"reference", "cpu", ORR_KERNEL_REFERENCE, supports, prepare, run};

}  // namespace orrery::attention
