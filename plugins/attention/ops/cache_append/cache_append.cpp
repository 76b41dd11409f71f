// state[b, past_b + t, h, d] = x[b, t, h, d] for t in [0, T), rounded to the state's type
// state [B, S, Hkv, D] paged, f32 | f16 | bf16 | q8_0    x [B, T, Hkv, D] f32    result: the state
#include "ops/cache_append/cache_append.hpp"

namespace orrery::attention {
namespace {

void check_shapes(const Infer& i) {
    const std::string op = "orr.cache_append/1: ";
    i.rank(0, 4, "orr.cache_append/1: state");
    i.rank(1, 4, "orr.cache_append/1: x");
    const orr_value_info &state = i.in(0), &x = i.in(1);
    i.same(state.dims[0], x.dims[0], op + "batch of state against x");
    i.same(state.dims[2], x.dims[2], op + "heads of state against x");
    i.same(state.dims[3], x.dims[3], op + "width of state against x");
}

orr_status infer(const orr_infer* raw) {
    return guard(raw->host, [&] {
        check_shapes(Infer(raw));
        flt::copy_info(raw, 0, 0);
    });
}

}  // namespace
}  // namespace orrery::attention

const orr_operator* orr_op_cache_append() {
    using namespace orrery;
    static const Operator op = Operator("orr.cache_append/1", "tokens past .. past + T of a paged state = x")
                                   .input("state", attention::kCacheTypes, "[B, S, Hkv, D], paged", 0, "paged")
                                   .input("x", "f32", "[B, T, Hkv, D]")
                                   .output("value", "the state, with the tokens in it", attention::kCacheTypes, 0, "paged")
                                   .traits(ORR_TRAIT_STATEFUL)
                                   .infer(attention::infer)
                                   .kernel(attention::kCacheAppendVulkan)
                                   .kernel(attention::kCacheAppendCpu)
                                   .kernel(attention::kCacheAppendReference);
    return op.table();
}
