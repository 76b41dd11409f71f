// The float library's rope, twice, its append, twice, and its attention; turned queries and keys pass through the workspace.
#include "common/heads.hpp"
#include "ops/rope_attention/rope_attention.hpp"

namespace orrery::attention {
namespace {

struct Plan {
    flt::Isa isa;
    uint64_t query_bytes, position_bytes, key_bytes;  // parts of the workspace, in this order, last what the library's functions work in
};

bool supports(const orr_prepare* p, char* reason, size_t size) {
    AttentionOperands o = attention_operands(p, kTurnAttention);
    const orr_tensor turned = turned_query(*o.q);
    o.q = &turned;
    return takes_layer(p, flt::takes_rows, reason, size) && takes_attention_cpu(o, reason, size);
}

orr_status prepare(orr_prepare* p) {
    return guard(p->host, [&]() -> orr_status {
        Plan* plan = flt::make_plan<Plan>(p);
        if (plan == nullptr) return ORR_OUT_OF_MEMORY;
        AttentionOperands o = attention_operands(p, kTurnAttention);
        const orr_tensor turned = turned_query(*o.q);
        o.q = &turned;
        const auto bytes = [](uint64_t n) { return static_cast<uint64_t>(flt::round_up(static_cast<int64_t>(n), 64)); };
        plan->query_bytes = bytes(turned.size_bytes);
        plan->position_bytes = position_bytes(*p->inputs[kTurnPositions]);
        plan->key_bytes = bytes(static_cast<uint64_t>(elements(*p->inputs[kTurnKey])) * 4);
        const uint64_t views = static_cast<uint64_t>(turned.shape[0]) * sizeof(flt::PagedView);
        p->workspace(p, plan->query_bytes + plan->position_bytes + plan->key_bytes + std::max({views, turn_bytes(p, *p->inputs[kTurnFreq]), attention_cpu_bytes(p, o)}));
        return ORR_OK;
    });
}

orr_status run(const orr_run* run) {
    return guard(run->host, [&] {
        const Plan& plan = *static_cast<const Plan*>(run->data);
        const orr_tensor &k = *run->inputs[kTurnKey], &v = *run->inputs[kTurnValue], &freq = *run->inputs[kTurnFreq];
        const orr_tensor* long_freq = flt::input(run, kTurnLongFreq);
        AttentionOperands o = attention_operands(run, kTurnAttention);
        check_states(run);
        char* at = static_cast<char*>(run->workspace);
        const orr_tensor turned = turned_query(*o.q, at);
        auto* positions = reinterpret_cast<int32_t*>(at += plan.query_bytes);
        auto* keys = reinterpret_cast<float*>(at += plan.position_bytes);
        void* const rest = at + plan.key_bytes;
        read_positions(*run->inputs[kTurnPositions], positions);
        const RotationAttrs attrs(run->attrs, kTurnNames);
        const int64_t width = k.shape[3], token = k.shape[2] * width;
        const Heads turned_keys{keys, k.shape[1] * token, token, width};
        turn_heads(run, plan.isa, attrs, *o.q, heads(turned), positions, freq, long_freq, rest);
        turn_heads(run, plan.isa, attrs, k, turned_keys, positions, freq, long_freq, rest);
        append_heads(run, plan.isa, *o.k, k, turned_keys, static_cast<flt::PagedView*>(rest));
        append_heads(run, plan.isa, *o.v, v, heads(v), static_cast<flt::PagedView*>(rest));
        o.q = &turned;
        attention_cpu(run, plan.isa, o, rest);
    });
}

}  // namespace

const KernelDef kRopeAttentionCpu = {"cpu", "cpu", 0, supports, prepare, run};

}  // namespace orrery::attention
