// y[b, t, h] = sum_s p_s v[b, s, h / G] / sum_s p_s with p_s = e^(score_s - max), G = H / Hkv
// score_s = cap(scale q[b, t, h] . k[b, s, h / G]) + bias[b % Bb, h or 0, t, s], cap(x) = softcap tanh(x / softcap)
// q [B, T, H, D] f32    k [B, S, Hkv, D], v [B, S, Hkv, Dv] f32, or paged in a cache type    y [B, T, H, Dv] f32
// Vaswani et al. 2017, arXiv:1706.03762; grouped heads: arXiv:2305.13245; cap: arXiv:2408.00118
#include "ops/attention/attention.hpp"

namespace orrery::attention {
namespace {

void infer_attention(const Infer& i) {
    const std::string op = "orr.attention/1: ";
    const char* names[] = {"orr.attention/1: q", "orr.attention/1: k", "orr.attention/1: v"};
    for (uint32_t n = kQuery; n <= kValue; ++n) i.rank(n, 4, names[n]);
    const orr_value_info &q = i.in(kQuery), &k = i.in(kKey), &v = i.in(kValue);
    i.same(q.dims[0], k.dims[0], op + "batch of q against k");
    i.same(q.dims[0], v.dims[0], op + "batch of q against v");
    i.same(q.dims[3], k.dims[3], op + "width of q against k");
    i.same(k.dims[1], v.dims[1], op + "tokens of k against v");
    i.same(k.dims[2], v.dims[2], op + "heads of k against v");
    if (q.dims[2] >= 0 && k.dims[2] >= 0 && (k.dims[2] == 0 || q.dims[2] % k.dims[2] != 0))
        throw Error(ORR_INVALID_ARGUMENT, op + std::to_string(q.dims[2]) + " query heads do not divide over " + std::to_string(k.dims[2]) + " key heads");
    if (i.has(kBias)) {
        i.rank(kBias, 4, "orr.attention/1: bias");
        const orr_value_info& bias = i.in(kBias);
        if (q.dims[0] > 0 && bias.dims[0] >= 0 && (bias.dims[0] == 0 || q.dims[0] % bias.dims[0] != 0))
            throw Error(ORR_INVALID_ARGUMENT, op + "bias has " + std::to_string(bias.dims[0]) + " batches, q has " + std::to_string(q.dims[0]));
        if (bias.dims[1] != 1) i.same(bias.dims[1], q.dims[2], op + "heads of bias against q");
        i.same(bias.dims[2], q.dims[1], op + "tokens of bias against q");
        i.same(bias.dims[3], k.dims[1], op + "keys of bias against k");
    }
    if (i.has(kKeyMask)) {
        i.rank(kKeyMask, 2, "orr.attention/1: key_mask");
        i.same(i.in(kKeyMask).dims[0], q.dims[0], op + "batch of key_mask against q");
        const orr_dim masked = i.in(kKeyMask).dims[1];
        if (masked >= 0 && k.dims[1] >= 0 && masked > k.dims[1])
            throw Error(ORR_INVALID_ARGUMENT, op + "key_mask has " + std::to_string(masked) + " keys, k has " + std::to_string(k.dims[1]));
    }
    if (i.attr_int("window") < 0) throw Error(ORR_INVALID_ARGUMENT, op + "window is " + std::to_string(i.attr_int("window")) + ", wanted 0 or more");
    if (i.attr_float("softcap") < 0) throw Error(ORR_INVALID_ARGUMENT, op + "softcap is " + std::to_string(i.attr_float("softcap")) + ", wanted 0 or more");
    i.out(0, ORR_TYPE_F32, {q.dims[0], q.dims[1], q.dims[2], v.dims[3]});
}

uint64_t flops(const orr_prepare* p) {
    const orr_tensor &q = *p->inputs[kQuery], &k = *p->inputs[kKey], &v = *p->inputs[kValue];
    return 2ull * static_cast<uint64_t>(flt::row_count(q)) * static_cast<uint64_t>(k.shape[1] * (q.shape[3] + v.shape[3]));
}

}  // namespace

void check_lengths(const orr_tensor& q, const orr_tensor& k, const orr_tensor& v) {
    for (int64_t b = 0; b < q.shape[0]; ++b) {
        const int64_t keys = key_count(k, b), values = key_count(v, b);
        if (keys == values && keys <= k.shape[1]) continue;  // no text is made where nothing failed: steps do not allocate
        const std::string who = "orr.attention/1: sequence " + std::to_string(b) + " has " + std::to_string(keys) + " keys";
        if (keys != values) throw Error(ORR_INVALID_ARGUMENT, who + " and " + std::to_string(values) + " values");
        throw Error(ORR_INVALID_ARGUMENT, who + ", the plan holds " + std::to_string(k.shape[1]));
    }
}

}  // namespace orrery::attention

const orr_operator* orr_op_attention() {
    using namespace orrery;
    static const Operator op = Operator("orr.attention/1", "softmax(cap(scale q k^T) + bias) v with grouped heads; arXiv:1706.03762")
                                   .input("q", "f32", "[B, T, H, D]")
                                   .input("k", attention::kCacheTypes, "[B, S, Hkv, D], plain f32 or paged", 0, "plain paged")
                                   .input("v", attention::kCacheTypes, "[B, S, Hkv, Dv], as k", 0, "plain paged")
                                   .input("bias", "f32", "[Bb, H or 1, T, S], Bb divides B: sequence b takes bias b % Bb", ORR_PORT_OPTIONAL)
                                   .input("key_mask", "bool i32 i64 f32", "[B, S] or shorter, 0 hides a key; keys beyond its end are seen", ORR_PORT_OPTIONAL)
                                   .output("y", "[B, T, H, Dv]")
                                   .token_axis(1)
                                   .attr("scale", ORR_ATTR_FLOAT, "0", "factor of the products; 0: 1 / sqrt(D)")
                                   .attr("causal", ORR_ATTR_BOOL, "false", "query t, at position S - T + t, sees no later key")
                                   .attr("window", ORR_ATTR_INT, "0", "tokens; causal: the last `window` keys up to its own; else keys at most `window` away; 0: all", "[0, inf)")
                                   .attr("softcap", ORR_ATTR_FLOAT, "0", "bound of the products before the bias; 0: none", "[0, inf)")
                                   .infer(infer_guard<attention::infer_attention>)
                                   .flops(attention::flops)
                                   .kernel(attention::kAttentionVulkan)
                                   .kernel(attention::kAttentionCpu)
                                   .kernel(attention::kAttentionReference);
    return op.table();
}
