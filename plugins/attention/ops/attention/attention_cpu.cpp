#include "ops/attention/attention.hpp"

namespace orrery::attention {
namespace {

bool supports(const orr_prepare* p, char* reason, size_t size) { return takes_attention_cpu(attention_operands(p, kAttentionPorts), reason, size); }

orr_status prepare(orr_prepare* p) {
    return guard(p->host, [&]() -> orr_status {
        p->workspace(p, attention_cpu_bytes(p, attention_operands(p, kAttentionPorts)));
        return flt::make_plan(p) == nullptr ? ORR_OUT_OF_MEMORY : ORR_OK;
    });
}

orr_status run(const orr_run* run) {
    return guard(run->host, [&] {
        const AttentionOperands o = attention_operands(run, kAttentionPorts);
        check_lengths("orr.attention/1", o);
        attention_cpu(run, static_cast<const flt::IsaPlan*>(run->data)->isa, o, run->workspace);
    });
}

}  // namespace

const KernelDef kAttentionCpu = {"cpu", "cpu", 0, supports, prepare, run};

}  // namespace orrery::attention
