// Dispatches: common/attention_vulkan.cpp. Device half: shaders/attention/attention
#include "common/attention_vulkan.hpp"
#include "ops/attention/attention.hpp"

namespace orrery::attention {
namespace {

bool supports(const orr_prepare* p, char* reason, size_t size) { return takes_attention_vulkan(p, attention_operands(p, kAttentionPorts), reason, size); }

orr_status prepare(orr_prepare* p) {
    const AttentionOperands o = attention_operands(p, kAttentionPorts);
    auto* plan = static_cast<AttentionPlan*>(p->plan_memory(p, sizeof(AttentionPlan)));
    if (!plan) return ORR_OUT_OF_MEMORY;
    *plan = prepare_attention_vulkan(p, o);
    p->workspace(p, AttentionShape(o).work_bytes());
    return ORR_OK;
}

orr_status run(const orr_run* run) {
    const AttentionOperands o = attention_operands(run, kAttentionPorts);
    return attention_vulkan(run, *static_cast<const AttentionPlan*>(run->data), o, vk::address(o.q), vk::recorder(run).workspace);
}

bool self_test(const orr_prepare* node, uint32_t i, orr_self_test* test) {
    if (i > 0) return false;
    shrink_attention(node, kAttentionPorts, test);
    return true;
}

}  // namespace

const KernelDef kAttentionVulkan = {"vulkan", "vulkan", 0, supports, prepare, run, self_test};

}  // namespace orrery::attention
