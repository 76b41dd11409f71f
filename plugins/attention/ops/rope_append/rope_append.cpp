// y = rope(q);  k_state[b, past_b + t] = rope(k)[b, t];  v_state[b, past_b + t] = v[b, t]
// What orr.rope/1 does to queries and keys and orr.cache_append/1 to keys and values, as one step: these three have nothing to wait for.
// q, y [B, T, H, D] f32    k [B, T, Hkv, D], v [B, T, Hkv, Dv] f32    states paged    positions [B, T]    inv_freq [R / 2]
// Su et al. 2021, arXiv:2104.09864
#include "ops/rope_append/rope_append.hpp"

namespace orrery::attention {
namespace {

void check_state(const Infer& i, uint32_t state, uint32_t x, const std::string& name) {
    const std::string op = "orr.rope_append/1: ";
    i.rank(state, 4, (op + name + "_state").c_str());
    const char* axes[] = {"batch of ", "", "heads of ", "width of "};
    for (const int32_t axis : {0, 2, 3}) i.same(i.in(state).dims[axis], i.in(x).dims[axis], op + axes[axis] + name + "_state against " + name);
}

void check_shapes(const Infer& i) {
    const std::string op = "orr.rope_append/1: ";
    const char* names[] = {"orr.rope_append/1: q", "orr.rope_append/1: k", "orr.rope_append/1: v"};
    for (uint32_t n = kTurnQuery; n <= kTurnValue; ++n) i.rank(n, 4, names[n]);
    i.rank(kTurnPositions, 2, "orr.rope_append/1: positions");
    i.rank(kTurnFreq, 1, "orr.rope_append/1: inv_freq");
    const orr_value_info &q = i.in(kTurnQuery), &k = i.in(kTurnKey), &v = i.in(kTurnValue), &freq = i.in(kTurnFreq);
    for (const int32_t axis : {0, 1}) {
        const std::string what = axis == 0 ? "batch of " : "tokens of ";
        i.same(q.dims[axis], k.dims[axis], op + what + "q against k");
        i.same(q.dims[axis], v.dims[axis], op + what + "q against v");
        i.same(q.dims[axis], i.in(kTurnPositions).dims[axis], op + what + "q against positions");
    }
    i.same(q.dims[3], k.dims[3], op + "width of q against k");
    i.same(k.dims[2], v.dims[2], op + "heads of k against v");
    check_state(i, kTurnKeyState, kTurnKey, "k");
    check_state(i, kTurnValueState, kTurnValue, "v");
    if (freq.dims[0] >= 0 && q.dims[3] >= 0 && 2 * freq.dims[0] > q.dims[3])
        throw Error(ORR_INVALID_ARGUMENT, op + "inv_freq turns " + std::to_string(2 * freq.dims[0]) + " elements, heads have " + std::to_string(q.dims[3]));
    if (i.has(kTurnLongFreq)) {
        i.rank(kTurnLongFreq, 1, "orr.rope_append/1: long_inv_freq");
        i.same(i.in(kTurnLongFreq).dims[0], freq.dims[0], op + "elements of long_inv_freq against inv_freq");
    } else if (i.attr_int("switch_length") > 0) {
        throw Error(ORR_INVALID_ARGUMENT, op + "switch_length is " + std::to_string(i.attr_int("switch_length")) + " and long_inv_freq is absent");
    }
}

orr_status infer(const orr_infer* raw) {
    return guard(raw->host, [&] {
        const Infer i(raw);
        check_shapes(i);
        i.out(0, ORR_TYPE_F32, Infer::dims(i.in(kTurnQuery)));
        flt::copy_info(raw, 1, kTurnKeyState);
        flt::copy_info(raw, 2, kTurnValueState);
    });
}

}  // namespace

void check_states(const orr_run* run) {
    for (const uint32_t state : {kTurnKeyState, kTurnValueState}) check_pages("orr.rope_append/1", *run->inputs[state], run->inputs[kTurnQuery]->shape[1]);
}

}  // namespace orrery::attention

const orr_operator* orr_op_rope_append() {
    using namespace orrery;
    static const Operator op = Operator("orr.rope_append/1", "orr.rope/1 of queries and keys, orr.cache_append/1 of keys and values")
                                   .input("q", "f32", "[B, T, H, D]")
                                   .input("k", "f32", "[B, T, Hkv, D]")
                                   .input("v", "f32", "[B, T, Hkv, Dv]")
                                   .input("k_state", attention::kCacheTypes, "[B, S, Hkv, D], paged", 0, "paged")
                                   .input("v_state", attention::kCacheTypes, "[B, S, Hkv, Dv], paged", 0, "paged")
                                   .input("positions", "i32 i64", "[B, T]")
                                   .input("inv_freq", "f32", "[R / 2], R <= D")
                                   .input("long_inv_freq", "f32", "[R / 2], for sequences longer than switch_length", ORR_PORT_OPTIONAL)
                                   .output("y", "[B, T, H, D]")
                                   .token_axis(1)
                                   .output("k_value", "k_state, with the tokens in it", attention::kCacheTypes, 0, "paged")
                                   .output("v_value", "v_state, with the tokens in it", attention::kCacheTypes, 0, "paged")
                                   .attr("interleaved", ORR_ATTR_BOOL, "false", "pairs are (2i, 2i + 1); else (i, i + R / 2)")
                                   .attr("scale", ORR_ATTR_FLOAT, "1", "factor of cosines and sines")
                                   .attr("switch_length", ORR_ATTR_INT, "0", "tokens; a sequence whose largest position + 1 exceeds it takes the long table; 0: never", "[0, inf)")
                                   .attr("long_scale", ORR_ATTR_FLOAT, "1", "scale with the long table")
                                   .traits(ORR_TRAIT_STATEFUL)
                                   .infer(attention::infer)
                                   .kernel(attention::kRopeAppendVulkan)
                                   .kernel(attention::kRopeAppendCpu)
                                   .kernel(attention::kRopeAppendReference);
    return op.table();
}
