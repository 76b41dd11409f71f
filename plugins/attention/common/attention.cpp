#include "common/attention.hpp"

namespace orrery::attention {

Operator& declare_mask_ports(Operator& op) {
    return op.input("bias", "f32", "[Bb, H or 1, T, S], Bb divides B: sequence b takes bias b % Bb", ORR_PORT_OPTIONAL)
        .input("key_mask", "bool i32 i64 f32", "[B, S] or shorter, 0 hides a key; keys beyond its end are seen", ORR_PORT_OPTIONAL);
}

Operator& declare_score_attrs(Operator& op, const char* causal) {
    return op.attr("scale", ORR_ATTR_FLOAT, "0", "factor of the products; 0: 1 / sqrt(D)")
        .attr("causal", ORR_ATTR_BOOL, causal, "query t, at position S - T + t, sees no later key")
        .attr("window", ORR_ATTR_INT, "0", "tokens; causal: the last `window` keys up to its own; else keys at most `window` away; 0: all", "[0, inf)")
        .attr("softcap", ORR_ATTR_FLOAT, "0", "bound of the products before the bias; 0: none", "[0, inf)");
}

void infer_attention(const Infer& i, const std::string& op, const AttentionPorts& at, const std::string& k_name, const std::string& v_name) {
    const std::pair<uint32_t, std::string> ports[] = {{at.q, "q"}, {at.k, k_name}, {at.v, v_name}};
    for (const auto& [port, name] : ports) i.rank(port, 4, (op + name).c_str());
    const orr_value_info &q = i.in(at.q), &k = i.in(at.k), &v = i.in(at.v);
    i.same(q.dims[0], k.dims[0], op + "batch of q against " + k_name);
    i.same(q.dims[0], v.dims[0], op + "batch of q against " + v_name);
    i.same(q.dims[3], k.dims[3], op + "width of q against " + k_name);
    i.same(k.dims[1], v.dims[1], op + "tokens of " + k_name + " against " + v_name);
    i.same(k.dims[2], v.dims[2], op + "heads of " + k_name + " against " + v_name);
    if (q.dims[2] >= 0 && k.dims[2] >= 0 && (k.dims[2] == 0 || q.dims[2] % k.dims[2] != 0))
        throw Error(ORR_INVALID_ARGUMENT, op + std::to_string(q.dims[2]) + " query heads do not divide over " + std::to_string(k.dims[2]) + " key heads");
    if (i.has(at.bias)) {
        i.rank(at.bias, 4, (op + "bias").c_str());
        const orr_value_info& bias = i.in(at.bias);
        if (q.dims[0] > 0 && bias.dims[0] >= 0 && (bias.dims[0] == 0 || q.dims[0] % bias.dims[0] != 0))
            throw Error(ORR_INVALID_ARGUMENT, op + "bias has " + std::to_string(bias.dims[0]) + " batches, q has " + std::to_string(q.dims[0]));
        if (bias.dims[1] != 1) i.same(bias.dims[1], q.dims[2], op + "heads of bias against q");
        i.same(bias.dims[2], q.dims[1], op + "tokens of bias against q");
        i.same(bias.dims[3], k.dims[1], op + "keys of bias against " + k_name);
    }
    if (i.has(at.key_mask)) {
        i.rank(at.key_mask, 2, (op + "key_mask").c_str());
        i.same(i.in(at.key_mask).dims[0], q.dims[0], op + "batch of key_mask against q");
        const orr_dim masked = i.in(at.key_mask).dims[1];
        if (masked >= 0 && k.dims[1] >= 0 && masked > k.dims[1])
            throw Error(ORR_INVALID_ARGUMENT, op + "key_mask has " + std::to_string(masked) + " keys, " + k_name + " has " + std::to_string(k.dims[1]));
    }
    if (i.attr_int("window") < 0) throw Error(ORR_INVALID_ARGUMENT, op + "window is " + std::to_string(i.attr_int("window")) + ", wanted 0 or more");
    if (i.attr_float("softcap") < 0) throw Error(ORR_INVALID_ARGUMENT, op + "softcap is " + std::to_string(i.attr_float("softcap")) + ", wanted 0 or more");
    i.out(0, ORR_TYPE_F32, {q.dims[0], q.dims[1], q.dims[2], v.dims[3]});
}

uint64_t attention_flops(const orr_prepare* p, const AttentionPorts& at) {
    const orr_tensor &q = *p->inputs[at.q], &k = *p->inputs[at.k], &v = *p->inputs[at.v];
    return 2ull * static_cast<uint64_t>(flt::row_count(q)) * static_cast<uint64_t>(k.shape[1] * (q.shape[3] + v.shape[3]));
}

void check_lengths(const char* op, const AttentionOperands& o) {
    const orr_tensor &k = *o.k, &v = *o.v;
    for (int64_t b = 0; b < o.q->shape[0]; ++b) {
        const int64_t keys = key_count(k, b), values = key_count(v, b);
        if (keys == values && keys <= k.shape[1]) continue;  // no text is made where nothing failed: steps do not allocate
        const std::string who = std::string(op) + ": sequence " + std::to_string(b) + " has " + std::to_string(keys) + " keys";
        if (keys != values) throw Error(ORR_INVALID_ARGUMENT, who + " and " + std::to_string(values) + " values");
        throw Error(ORR_INVALID_ARGUMENT, who + ", the plan holds " + std::to_string(k.shape[1]));
    }
}

void shrink_attention(const orr_prepare* node, const AttentionPorts& at, orr_self_test* test) {
    constexpr int64_t kTokens = 70, kKeys = 200;  // several chunks and tiles, the last of each not full
    const orr_tensor &q = *node->inputs[at.q], &k = *node->inputs[at.k];
    const int64_t group = q.shape[2] / k.shape[2], heads = std::min<int64_t>(k.shape[2], q.shape[1] <= 8 ? 2 : 1);
    const int64_t tokens = std::min(q.shape[1], kTokens), keys = is_paged(k) ? kKeys : std::max(std::min(k.shape[1], kKeys), std::min(k.shape[1], tokens));  // a cache of any capacity: one test
    int64_t* const query = test->inputs[at.q]->shape;
    query[0] = 1, query[1] = tokens, query[2] = group * heads;
    for (const uint32_t n : {at.k, at.v}) {
        orr_test_input& cache = *test->inputs[n];
        cache.shape[0] = 1, cache.shape[1] = keys, cache.shape[2] = heads;
        if (!is_paged(*node->inputs[n])) continue;
        cache.length = std::max(tokens, keys - 5);
        cache.past = cache.length - tokens;
    }
    if (flt::input(node, at.bias)) {
        int64_t* const bias = test->inputs[at.bias]->shape;
        bias[0] = 1, bias[1] = std::min(bias[1], query[2]), bias[2] = tokens, bias[3] = keys;
    }
    if (flt::input(node, at.key_mask)) {
        orr_test_input& mask = *test->inputs[at.key_mask];
        mask.shape[0] = 1, mask.shape[1] = std::min(mask.shape[1], keys);
        mask.low = 0;
    }
}

}  // namespace orrery::attention
