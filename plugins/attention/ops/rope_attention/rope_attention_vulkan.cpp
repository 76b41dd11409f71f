// First rotations and appends, one workgroup a head: it is turned in shared memory and written to the workspace (queries) or to its page
// (shaders/attention/rope_attention/append.comp). Then, behind a barrier, attention over the states as orr.attention/1 has it.
#include <bit>

#include "attention/rope_attention/params.h"
#include "common/attention_vulkan.hpp"
#include "ops/rope_attention/rope_attention.hpp"
#include "rope_attention_shaders.hpp"

namespace orrery::attention {
namespace {

constexpr int64_t kMostWidth = 1024;  // of a head, in shared memory
constexpr int64_t kMostHeads = 65535;  // as parameters hold them

bool narrow(const orr_tensor& state) { return cache_type(state) != ORR_TYPE_F32 && (cache_type(state) == kQ8_0 || state.shape[3] % 2 != 0); }
const orr_vulkan_shader& append_shader(const AttentionOperands& o) { return narrow(*o.k) || narrow(*o.v) ? shaders::rope_attention_append_narrow : shaders::rope_attention_append; }

// Turned queries lie at the workspace's begin, what attention works in behind them.
uint64_t query_bytes(const orr_tensor& turned) { return vk::divide_up(turned.size_bytes, 256) * 256; }

bool supports(const orr_prepare* p, char* reason, size_t size) {
    AttentionOperands o = attention_operands(p, kTurnAttention);
    const orr_tensor turned = turned_query(*o.q);
    o.q = &turned;
    if (!takes_layer(p, takes_rows, reason, size) || !takes_size(p->inputs[kTurnPositions], "positions", reason, size)) return false;
    if (const int64_t width = std::max(o.k->shape[3], o.v->shape[3]); width > kMostWidth)
        return refuse(reason, size, "heads have " + std::to_string(width) + " elements, the shader takes " + std::to_string(kMostWidth));
    if (o.q->shape[2] > kMostHeads) return refuse(reason, size, std::to_string(o.q->shape[2]) + " heads, the shader takes " + std::to_string(kMostHeads));
    return vk::can_run(vk::device(p), append_shader(o), reason, size) && takes_attention_vulkan(p, o, reason, size);
}

orr_status prepare(orr_prepare* p) {
    AttentionOperands o = attention_operands(p, kTurnAttention);
    const orr_tensor turned = turned_query(*o.q);
    o.q = &turned;
    auto* plan = static_cast<AttentionPlan*>(p->plan_memory(p, sizeof(AttentionPlan)));
    if (!plan) return ORR_OUT_OF_MEMORY;
    *plan = prepare_attention_vulkan(p, o);
    p->workspace(p, query_bytes(turned) + AttentionShape(o).work_bytes());
    return ORR_OK;
}

// o.q: as given, not yet turned.
orr_status append(const orr_run* run, const AttentionOperands& o, uint64_t turned) {
    const orr_tensor &q = *o.q, &k = *run->inputs[kTurnKey], &v = *run->inputs[kTurnValue], &positions = *run->inputs[kTurnPositions], &freq = *run->inputs[kTurnFreq];
    const RotationAttrs attrs(run->attrs, kTurnNames);
    const uint32_t words = positions.block_bytes / 4;
    const auto n = [](int64_t x) { return static_cast<uint32_t>(x); };
    const auto bits = [](double x) { return std::bit_cast<uint32_t>(static_cast<float>(x)); };
    shaders::RopeAttentionAppendParams p{};
    p.q = vk::address(&q);
    p.k = vk::address(&k);
    p.v = vk::address(&v);
    p.turned = turned;
    p.k_state = vk::address(o.k);
    p.v_state = vk::address(o.v);
    p.positions = vk::address(&positions);
    p.freq = vk::address(&freq);
    p.long_freq = vk::address(vk::input(run, kTurnLongFreq));
    p.B = n(q.shape[0]), p.T = n(q.shape[1]);
    p.q_batch = stride(q, 0), p.q_token = stride(q, 1), p.q_head = stride(q, 2);
    p.k_batch = stride(k, 0), p.k_token = stride(k, 1), p.k_head = stride(k, 2);
    p.v_batch = stride(v, 0), p.v_token = stride(v, 1), p.v_head = stride(v, 2);
    p.position_batch = stride(positions, 0) * words, p.position_token = stride(positions, 1) * words;
    const uint32_t H = n(q.shape[2]), Hkv = n(k.shape[2]);
    p.head_counts = H | Hkv << 16;
    return vk::dispatch(run, append_shader(o),
                        {n(q.shape[3]), n(v.shape[3]), n(freq.shape[0]), cache_type(*o.k), cache_type(*o.v), attrs.interleaved ? 1u : 0u, n(attrs.switch_length), bits(attrs.scale),
                         bits(attrs.long_scale)},
                        p, vk::groups(static_cast<uint64_t>(p.B) * p.T * (H + 2 * Hkv)));
}

orr_status run(const orr_run* run) {
    AttentionOperands o = attention_operands(run, kTurnAttention);
    if (o.q->shape[0] * o.q->shape[1] == 0) return ORR_OK;
    const uint64_t at = vk::recorder(run).workspace;
    if (const orr_status status = append(run, o, at); status != ORR_OK) return status;
    vk::recorder(run).barrier(&vk::recorder(run));
    const orr_tensor turned = turned_query(*o.q);
    o.q = &turned;
    return attention_vulkan(run, *static_cast<const AttentionPlan*>(run->data), o, at, at + query_bytes(turned));
}

// The append alone, without queries, then both: what is wrong then is a form of attention, and the next one is taken.
bool self_test(const orr_prepare* node, uint32_t i, orr_self_test* test) {
    if (i > 1) return false;
    shrink_attention(node, kTurnAttention, test);
    if (i == 0) {
        test->inputs[kTurnQuery]->shape[2] = 0;
        if (flt::input(node, kTurnBias)) test->inputs[kTurnBias]->shape[1] = 0;
    }
    const int64_t tokens = test->inputs[kTurnQuery]->shape[1], heads = test->inputs[kTurnKeyState]->shape[2];
    for (const uint32_t n : {kTurnKey, kTurnValue, kTurnPositions}) test->inputs[n]->shape[0] = 1, test->inputs[n]->shape[1] = tokens;
    for (const uint32_t n : {kTurnKey, kTurnValue}) test->inputs[n]->shape[2] = heads;
    test->inputs[kTurnPositions]->low = 0, test->inputs[kTurnPositions]->high = 250;
    return true;
}

}  // namespace

const KernelDef kRopeAttentionVulkan = {"vulkan", "vulkan", 0, supports, prepare, run, self_test};

}  // namespace orrery::attention
