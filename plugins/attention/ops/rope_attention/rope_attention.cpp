// k_state[b, past_b + t] = rope(k)[b, t];  v_state[b, past_b + t] = v[b, t];  y = attention(rope(q), k_state, v_state)
// What orr.rope/1, orr.cache_append/1 and orr.attention/1 do in a layer, as one step.
// q [B, T, H, D] f32    k [B, T, Hkv, D], v [B, T, Hkv, Dv] f32    states paged    positions [B, T]    inv_freq [R / 2]    y [B, T, H, Dv] f32
// Su et al. 2021, arXiv:2104.09864; Vaswani et al. 2017, arXiv:1706.03762
#include "ops/rope_attention/rope_attention.hpp"

namespace orrery::attention {
namespace {

constexpr const char* kOp = "orr.rope_attention/1: ";

void check_state(const Infer& i, uint32_t state, uint32_t x, const std::string& name) {
    const std::string op = kOp;
    i.rank(state, 4, (op + name + "_state").c_str());
    const char* axes[] = {"batch of ", "", "heads of ", "width of "};
    for (const int32_t axis : {0, 2, 3}) i.same(i.in(state).dims[axis], i.in(x).dims[axis], op + axes[axis] + name + "_state against " + name);
}

void check_shapes(const Infer& i) {
    const std::string op = kOp;
    check_rotation(i, op, kTurnQuery, "q", kTurnPorts);
    i.rank(kTurnKey, 4, (op + "k").c_str());
    i.rank(kTurnValue, 4, (op + "v").c_str());
    const orr_value_info &q = i.in(kTurnQuery), &k = i.in(kTurnKey), &v = i.in(kTurnValue);
    for (const int32_t axis : {0, 1}) {
        const std::string what = axis == 0 ? "batch of " : "tokens of ";
        i.same(q.dims[axis], k.dims[axis], op + what + "q against k");
        i.same(q.dims[axis], v.dims[axis], op + what + "q against v");
    }
    i.same(q.dims[3], k.dims[3], op + "width of q against k");
    i.same(k.dims[2], v.dims[2], op + "heads of k against v");
    check_state(i, kTurnKeyState, kTurnKey, "k");
    check_state(i, kTurnValueState, kTurnValue, "v");
}

orr_status infer(const orr_infer* raw) {
    return guard(raw->host, [&] {
        const Infer i(raw);
        check_shapes(i);
        infer_attention(i, kOp, kTurnAttention, "k_state", "v_state");
        flt::copy_info(raw, 1, kTurnKeyState);
        flt::copy_info(raw, 2, kTurnValueState);
    });
}

uint64_t flops(const orr_prepare* p) { return attention_flops(p, kTurnAttention); }

}  // namespace

orr_tensor turned_query(const orr_tensor& q, void* data) {
    orr_tensor t = q;
    int64_t bytes = 4;
    for (int32_t axis = 3; axis >= 0; --axis) t.stride_bytes[axis] = bytes, bytes *= q.shape[axis];
    t.size_bytes = static_cast<uint64_t>(bytes);
    t.data = data;
    t.buffer = nullptr;
    t.offset = 0;
    t.flags = 0;
    return t;
}

void check_states(const orr_run* run) {
    for (const uint32_t state : {kTurnKeyState, kTurnValueState}) check_pages("orr.rope_attention/1", *run->inputs[state], run->inputs[kTurnQuery]->shape[1]);
    check_lengths("orr.rope_attention/1", attention_operands(run, kTurnAttention));
}

}  // namespace orrery::attention

const orr_operator* orr_op_rope_attention() {
    using namespace orrery;
    static const Operator op = [](Operator&& o) -> Operator& {
        o.input("q", "f32", "[B, T, H, D]").input("k", "f32", "[B, T, Hkv, D]").input("v", "f32", "[B, T, Hkv, Dv]");
        o.input("k_state", attention::kCacheTypes, "[B, S, Hkv, D], paged", 0, "paged").input("v_state", attention::kCacheTypes, "[B, S, Hkv, Dv], paged", 0, "paged");
        attention::declare_mask_ports(attention::declare_rotation_ports(o)).output("y", "[B, T, H, Dv]").token_axis(1);
        o.output("k_value", "k_state, with the tokens in it", attention::kCacheTypes, 0, "paged").output("v_value", "v_state, with the tokens in it", attention::kCacheTypes, 0, "paged");
        attention::declare_score_attrs(attention::declare_rotation_attrs(o, attention::kTurnNames), "true");
        o.traits(ORR_TRAIT_STATEFUL).infer(attention::infer).flops(attention::flops);
        return o.kernel(attention::kRopeAttentionVulkan).kernel(attention::kRopeAttentionCpu).kernel(attention::kRopeAttentionReference);
    }(Operator("orr.rope_attention/1", "orr.rope/1 of queries and keys, orr.cache_append/1 of keys and values, orr.attention/1 over what is cached then"));
    return op.table();
}
