// y[b, h, t, s] = e^(score_s - max) / sum_s e^(score_s - max); 0 where key s is hidden from query t
// score_s = cap(scale q[b, t, h] . k[b, s, h / G]) + bias[b % Bb, h or 0, t, s], cap(x) = softcap tanh(x / softcap), G = H / Hkv
// q [B, T, H, D] f32    k [B, S, Hkv, D] f32, or paged in a cache type    y [B, H, T, S] f32
// The weights that orr.attention/1 gives to its values. Vaswani et al. 2017, arXiv:1706.03762
#include "ops/attention_probabilities/attention_probabilities.hpp"

namespace orrery::attention {
namespace {

void infer_probabilities(const Infer& i) {
    const std::string op = "orr.attention_probabilities/1: ";
    i.rank(kWeighedQuery, 4, "orr.attention_probabilities/1: q");
    i.rank(kWeighedKey, 4, "orr.attention_probabilities/1: k");
    const orr_value_info &q = i.in(kWeighedQuery), &k = i.in(kWeighedKey);
    i.same(q.dims[0], k.dims[0], op + "batch of q against k");
    i.same(q.dims[3], k.dims[3], op + "width of q against k");
    if (q.dims[2] >= 0 && k.dims[2] >= 0 && (k.dims[2] == 0 || q.dims[2] % k.dims[2] != 0))
        throw Error(ORR_INVALID_ARGUMENT, op + std::to_string(q.dims[2]) + " query heads do not divide over " + std::to_string(k.dims[2]) + " key heads");
    if (i.has(kWeighedBias)) {
        i.rank(kWeighedBias, 4, "orr.attention_probabilities/1: bias");
        const orr_value_info& bias = i.in(kWeighedBias);
        if (q.dims[0] > 0 && bias.dims[0] >= 0 && (bias.dims[0] == 0 || q.dims[0] % bias.dims[0] != 0))
            throw Error(ORR_INVALID_ARGUMENT, op + "bias has " + std::to_string(bias.dims[0]) + " batches, q has " + std::to_string(q.dims[0]));
        if (bias.dims[1] != 1) i.same(bias.dims[1], q.dims[2], op + "heads of bias against q");
        i.same(bias.dims[2], q.dims[1], op + "tokens of bias against q");
        i.same(bias.dims[3], k.dims[1], op + "keys of bias against k");
    }
    if (i.has(kWeighedMask)) {
        i.rank(kWeighedMask, 2, "orr.attention_probabilities/1: key_mask");
        i.same(i.in(kWeighedMask).dims[0], q.dims[0], op + "batch of key_mask against q");
        const orr_dim masked = i.in(kWeighedMask).dims[1];
        if (masked >= 0 && k.dims[1] >= 0 && masked > k.dims[1])
            throw Error(ORR_INVALID_ARGUMENT, op + "key_mask has " + std::to_string(masked) + " keys, k has " + std::to_string(k.dims[1]));
    }
    if (i.attr_int("window") < 0) throw Error(ORR_INVALID_ARGUMENT, op + "window is " + std::to_string(i.attr_int("window")) + ", wanted 0 or more");
    if (i.attr_float("softcap") < 0) throw Error(ORR_INVALID_ARGUMENT, op + "softcap is " + std::to_string(i.attr_float("softcap")) + ", wanted 0 or more");
    i.out(0, ORR_TYPE_F32, {q.dims[0], q.dims[2], q.dims[1], k.dims[1]});
}

uint64_t flops(const orr_prepare* p) {
    const orr_tensor &q = *p->inputs[kWeighedQuery], &k = *p->inputs[kWeighedKey];
    return 2ull * static_cast<uint64_t>(flt::row_count(q)) * static_cast<uint64_t>(k.shape[1] * q.shape[3]);
}

}  // namespace

void check_keys(const orr_tensor& q, const orr_tensor& k) {
    for (int64_t b = 0; b < q.shape[0]; ++b)
        if (key_count(k, b) > k.shape[1])
            throw Error(ORR_INVALID_ARGUMENT, "orr.attention_probabilities/1: sequence " + std::to_string(b) + " has " + std::to_string(key_count(k, b)) + " keys, the plan holds " +
                                                  std::to_string(k.shape[1]));
}

}  // namespace orrery::attention

const orr_operator* orr_op_attention_probabilities() {
    using namespace orrery;
    static const Operator op = [](Operator&& o) -> Operator& {
        o.input("q", "f32", "[B, T, H, D]").input("k", attention::kCacheTypes, "[B, S, Hkv, D], plain f32 or paged", 0, "plain paged");
        attention::declare_mask_ports(o).output("y", "[B, H, T, S]").token_axis(2);
        attention::declare_score_attrs(o).infer(infer_guard<attention::infer_probabilities>).flops(attention::flops);
        return o.kernel(attention::kProbabilitiesVulkan).kernel(attention::kProbabilitiesCpu).kernel(attention::kProbabilitiesReference);
    }(Operator("orr.attention_probabilities/1", "softmax(cap(scale q k^T) + bias): what attention weighs its values by"));
    return op.table();
}
