// y[b, t, h] = sum_s p_s v[b, s, h / G] / sum_s p_s with p_s = e^(score_s - max), G = H / Hkv
// score_s = cap(scale q[b, t, h] . k[b, s, h / G]) + bias[b % Bb, h or 0, t, s], cap(x) = softcap tanh(x / softcap)
// q [B, T, H, D] f32    k [B, S, Hkv, D], v [B, S, Hkv, Dv] f32, or paged in a cache type    y [B, T, H, Dv] f32
// Vaswani et al. 2017, arXiv:1706.03762; grouped heads: arXiv:2305.13245; cap: arXiv:2408.00118
#include "ops/attention/attention.hpp"

namespace orrery::attention {
namespace {
void infer(const Infer& i) { infer_attention(i, "orr.attention/1: ", kAttentionPorts); }
uint64_t flops(const orr_prepare* p) { return attention_flops(p, kAttentionPorts); }
}  // namespace
}  // namespace orrery::attention

const orr_operator* orr_op_attention() {
    using namespace orrery;
    static const Operator op = [](Operator&& o) -> Operator& {
        o.input("q", "f32", "[B, T, H, D]");
        o.input("k", attention::kCacheTypes, "[B, S, Hkv, D], plain f32 or paged", 0, "plain paged");
        o.input("v", attention::kCacheTypes, "[B, S, Hkv, Dv], as k", 0, "plain paged");
        attention::declare_mask_ports(o).output("y", "[B, T, H, Dv]").token_axis(1);
        attention::declare_score_attrs(o).infer(infer_guard<attention::infer>).flops(attention::flops);
        return o.kernel(attention::kAttentionVulkan).kernel(attention::kAttentionCpu).kernel(attention::kAttentionReference);
    }(Operator("orr.attention/1", "softmax(cap(scale q k^T) + bias) v with grouped heads; arXiv:1706.03762"));
    return op.table();
}
