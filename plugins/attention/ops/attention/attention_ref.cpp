#include "ops/attention/attention.hpp"

namespace orrery::attention {
namespace {

bool supports(const orr_prepare* p, char* reason, size_t size) { return takes_attention_reference(attention_operands(p, kAttentionPorts), reason, size); }

orr_status prepare(orr_prepare* p) {
    return guard(p->host, [&] { p->workspace(p, attention_reference_bytes(attention_operands(p, kAttentionPorts))); });
}

orr_status run(const orr_run* run) {
    return guard(run->host, [&] {
        const AttentionOperands o = attention_operands(run, kAttentionPorts);
        check_lengths("orr.attention/1", o);
        attention_reference(run->attrs, o, static_cast<double*>(run->workspace));
    });
}

}  // namespace

const KernelDef kAttentionReference = {"reference", "cpu", ORR_KERNEL_REFERENCE, supports, prepare, run};

}  // namespace orrery::attention
