// Few query tokens: one dispatch (shaders/attention/rope_attention/split.comp), where caches and device allow. Else first rotations and appends, into the
// workspace (queries) or a page: one workgroup a token (append_quads.comp), or a head, which is turned in shared memory (append.comp). Then, behind a
// barrier, attention over the states as orr.attention/1 has it.
#include <bit>

#include "attention/rope_attention/params.h"
#include "attention/rope_attention/split_params.h"
#include "common/attention_vulkan.hpp"
#include "ops/rope_attention/rope_attention.hpp"
#include "rope_attention_shaders.hpp"

namespace orrery::attention {
namespace {

constexpr int64_t kMostWidth = 1024;  // of a head, in shared memory
constexpr int64_t kMostHeads = 65535;  // as parameters hold them

bool narrow(const orr_tensor& state) { return cache_type(state) != ORR_TYPE_F32 && (cache_type(state) == kQ8_0 || state.shape[3] % 2 != 0); }

// quads: one workgroup a token; else a head.
struct Append {
    const orr_vulkan_shader& shader;
    bool quads;
};
Append pick_append(const orr_vulkan_device& d, const AttentionOperands& o, int64_t pairs) {
    if (narrow(*o.k) || narrow(*o.v)) return {shaders::rope_attention_append_narrow, false};
    const bool fours = o.k->shape[3] % 4 == 0 && o.v->shape[3] % 4 == 0 && pairs % 2 == 0 && pairs > 0;
    if (fours && vk::can_run(d, shaders::rope_attention_append_quads, nullptr, 0)) return {shaders::rope_attention_append_quads, true};
    return {shaders::rope_attention_append, false};
}

struct Plan {
    AttentionPlan attention;
    const orr_vulkan_shader* together;  // that does all in one dispatch; null: none
};

// Heads of a token are neighbours.
bool dense(const orr_tensor& t) { return t.shape[2] == 1 || stride(t, 2) == t.shape[3]; }

// As the shader declares it.
uint64_t together_bytes(const AttentionShape& s) {
    const uint64_t merged = s.value_width > 128 ? 1 : 2;
    return uint64_t{s.split_rows} * (s.width * 4 + 64) + uint64_t{s.tokens} * (s.width + s.value_width) * 4 + 8 * merged * s.value_width * 4 + 64;
}

const orr_vulkan_shader* pick_together(const orr_prepare* p, const AttentionOperands& o) {
    const AttentionShape s(o);
    const orr_vulkan_device& d = vk::device(p);
    if (!s.split || s.rows == 0 || o.bias || o.key_mask || narrow(*o.k) || narrow(*o.v) || !takes_subgroups(d, *o.k, *o.v) || together_bytes(s) > d.shared_bytes) return nullptr;
    for (const uint32_t n : {kTurnQuery, kTurnKey, kTurnValue})
        if (!dense(*p->inputs[n])) return nullptr;
    for (const orr_vulkan_shader* shader : {&shaders::rope_attention_split_32, &shaders::rope_attention_split_8})
        if (p->inputs[kTurnFreq]->shape[0] > 0 && vk::can_run(d, *shader, nullptr, 0)) return shader;
    return nullptr;
}

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
    return vk::can_run(vk::device(p), pick_append(vk::device(p), o, p->inputs[kTurnFreq]->shape[0]).shader, reason, size) && takes_attention_vulkan(p, o, reason, size);
}

orr_status prepare(orr_prepare* p) {
    AttentionOperands o = attention_operands(p, kTurnAttention);
    auto* plan = static_cast<Plan*>(p->plan_memory(p, sizeof(Plan)));
    if (!plan) return ORR_OUT_OF_MEMORY;
    plan->together = pick_together(p, o);
    if (plan->together) {
        p->variant(p, plan->together->subgroup == 32 ? "turned_split_32" : "turned_split_8");
        p->workspace(p, AttentionShape(o).work_bytes());
        return ORR_OK;
    }
    const orr_tensor turned = turned_query(*o.q);
    o.q = &turned;
    plan->attention = prepare_attention_vulkan(p, o);
    p->workspace(p, query_bytes(turned) + AttentionShape(o).work_bytes());
    return ORR_OK;
}

// For both ways.
struct Numbers {
    uint32_t words, pairs, interleaved, switch_length, scale, long_scale;
    explicit Numbers(const orr_run* run) {
        const RotationAttrs attrs(run->attrs, kTurnNames);
        const auto bits = [](double x) { return std::bit_cast<uint32_t>(static_cast<float>(x)); };
        words = run->inputs[kTurnPositions]->block_bytes / 4;
        pairs = static_cast<uint32_t>(run->inputs[kTurnFreq]->shape[0]);
        interleaved = attrs.interleaved ? 1 : 0;
        switch_length = static_cast<uint32_t>(attrs.switch_length);
        scale = bits(attrs.scale), long_scale = bits(attrs.long_scale);
    }
};

orr_status together(const orr_run* run, const orr_vulkan_shader& shader, const AttentionOperands& o) {
    const orr_tensor &q = *o.q, &k = *run->inputs[kTurnKey], &v = *run->inputs[kTurnValue], &positions = *run->inputs[kTurnPositions];
    const AttentionShape s(o);
    const Numbers rope(run);
    const uint32_t slots = split_slots(vk::device(run), s);
    const uint64_t tiles = static_cast<uint64_t>(s.batch) * s.kv_heads * vk::divide_up(s.rows, s.split_rows);
    shaders::RopeAttentionSplitParams p{};
    p.q = vk::address(&q);
    p.new_k = vk::address(&k);
    p.new_v = vk::address(&v);
    p.k = vk::address(o.k);
    p.v = vk::address(o.v);
    p.y = vk::address(o.y);
    p.work = vk::recorder(run).workspace;
    p.arrived = vk::recorder(run).zeros(&vk::recorder(run), static_cast<uint32_t>(tiles));
    p.positions = vk::address(&positions);
    p.freq = vk::address(run->inputs[kTurnFreq]);
    p.long_freq = vk::address(vk::input(run, kTurnLongFreq));
    p.T = s.tokens, p.S = s.keys;
    p.q_batch = stride(q, 0), p.q_token = stride(q, 1);
    p.k_batch = stride(k, 0), p.k_token = stride(k, 1);
    p.v_batch = stride(v, 0), p.v_token = stride(v, 1);
    p.position_batch = stride(positions, 0) * rope.words, p.position_token = stride(positions, 1) * rope.words;
    std::vector<uint32_t> constants = attention_constants(run, o);
    for (const uint32_t n : {s.tokens, rope.pairs, rope.interleaved, rope.switch_length, rope.scale, rope.long_scale}) constants.push_back(n);
    return vk::dispatch(run, shader, constants, p, vk::groups(tiles * slots));
}

// o.q: as given, not yet turned.
orr_status append(const orr_run* run, const AttentionOperands& o, uint64_t turned) {
    const orr_tensor &q = *o.q, &k = *run->inputs[kTurnKey], &v = *run->inputs[kTurnValue], &positions = *run->inputs[kTurnPositions];
    const Numbers rope(run);
    const auto n = [](int64_t x) { return static_cast<uint32_t>(x); };
    shaders::RopeAttentionAppendParams p{};
    p.q = vk::address(&q);
    p.k = vk::address(&k);
    p.v = vk::address(&v);
    p.turned = turned;
    p.k_state = vk::address(o.k);
    p.v_state = vk::address(o.v);
    p.positions = vk::address(&positions);
    p.freq = vk::address(run->inputs[kTurnFreq]);
    p.long_freq = vk::address(vk::input(run, kTurnLongFreq));
    p.B = n(q.shape[0]), p.T = n(q.shape[1]);
    p.q_batch = stride(q, 0), p.q_token = stride(q, 1), p.q_head = stride(q, 2);
    p.k_batch = stride(k, 0), p.k_token = stride(k, 1), p.k_head = stride(k, 2);
    p.v_batch = stride(v, 0), p.v_token = stride(v, 1), p.v_head = stride(v, 2);
    p.position_batch = stride(positions, 0) * rope.words, p.position_token = stride(positions, 1) * rope.words;
    const uint32_t H = n(q.shape[2]), Hkv = n(k.shape[2]);
    p.head_counts = H | Hkv << 16;
    const Append with = pick_append(vk::device(run), o, run->inputs[kTurnFreq]->shape[0]);
    return vk::dispatch(run, with.shader,
                        {n(q.shape[3]), n(v.shape[3]), rope.pairs, cache_type(*o.k), cache_type(*o.v), rope.interleaved, rope.switch_length, rope.scale, rope.long_scale},
                        p, vk::groups(static_cast<uint64_t>(p.B) * p.T * (with.quads ? 1 : H + 2 * Hkv)));
}

orr_status run(const orr_run* run) {
    AttentionOperands o = attention_operands(run, kTurnAttention);
    if (o.q->shape[0] * o.q->shape[1] == 0) return ORR_OK;
    const Plan& plan = *static_cast<const Plan*>(run->data);
    if (plan.together) return together(run, *plan.together, o);
    const uint64_t at = vk::recorder(run).workspace;
    if (const orr_status status = append(run, o, at); status != ORR_OK) return status;
    vk::recorder(run).barrier(&vk::recorder(run));
    const orr_tensor turned = turned_query(*o.q);
    o.q = &turned;
    return attention_vulkan(run, plan.attention, o, at, at + query_bytes(turned));
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
