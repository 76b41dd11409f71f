// One workgroup a head: it is turned in shared memory and written to y or to its page. Device half: shaders/attention/rope_append/rope_append.comp
#include <bit>

#include "attention/rope_append/params.h"
#include "common/vulkan.hpp"
#include "ops/rope_append/rope_append.hpp"
#include "rope_append_shaders.hpp"

namespace orrery::attention {
namespace {

constexpr int64_t kMostWidth = 1024;  // of a head, in shared memory

bool narrow(const orr_tensor& state) { return cache_type(state) != ORR_TYPE_F32 && (cache_type(state) == kQ8_0 || state.shape[3] % 2 != 0); }
const orr_vulkan_shader& shader(const orr_tensor& k_state, const orr_tensor& v_state) { return narrow(k_state) || narrow(v_state) ? shaders::rope_append_narrow : shaders::rope_append; }

bool supports(const orr_prepare* p, char* reason, size_t size) {
    constexpr std::pair<uint32_t, const char*> kRows[] = {{kTurnQuery, "q"}, {kTurnKey, "k"}, {kTurnValue, "v"}, {kTurnFreq, "inv_freq"}, {kTurnLongFreq, "long_inv_freq"}};
    for (const auto& [port, name] : kRows)
        if (!takes_rows(vk::input(p, port), name, reason, size)) return false;
    const orr_tensor &k_state = *p->inputs[kTurnKeyState], &v_state = *p->inputs[kTurnValueState];
    if (!takes_pages(k_state, "k_state", reason, size) || !takes_pages(v_state, "v_state", reason, size)) return false;
    if (!is_contiguous(*p->outputs[0])) return refuse(reason, size, "y has gaps");
    if (!takes_size(p->inputs[kTurnPositions], "positions", reason, size)) return false;
    if (const int64_t width = std::max(k_state.shape[3], v_state.shape[3]); width > kMostWidth)
        return refuse(reason, size, "heads have " + std::to_string(width) + " elements, the shader takes " + std::to_string(kMostWidth));
    return vk::can_run(vk::device(p), shader(k_state, v_state), reason, size);
}

orr_status prepare(orr_prepare* p) {
    if (&shader(*p->inputs[kTurnKeyState], *p->inputs[kTurnValueState]) == &shaders::rope_append_narrow) p->variant(p, "narrow");
    return ORR_OK;
}

orr_status run(const orr_run* run) {
    const orr_tensor &q = *run->inputs[kTurnQuery], &k = *run->inputs[kTurnKey], &v = *run->inputs[kTurnValue], &positions = *run->inputs[kTurnPositions];
    const orr_tensor &k_state = *run->inputs[kTurnKeyState], &v_state = *run->inputs[kTurnValueState];
    const orr_attrs* a = run->attrs;
    const uint32_t words = positions.block_bytes / 4;
    const auto n = [](int64_t x) { return static_cast<uint32_t>(x); };
    const auto bits = [&](const char* name) { return std::bit_cast<uint32_t>(static_cast<float>(a->get_float(a, name))); };
    shaders::RopeAppendParams p{};
    p.q = vk::address(&q);
    p.k = vk::address(&k);
    p.v = vk::address(&v);
    p.y = vk::address(run->outputs[0]);
    p.k_state = vk::address(&k_state);
    p.v_state = vk::address(&v_state);
    p.positions = vk::address(&positions);
    p.freq = vk::address(run->inputs[kTurnFreq]);
    p.long_freq = vk::address(vk::input(run, kTurnLongFreq));
    p.B = n(q.shape[0]), p.T = n(q.shape[1]);
    p.q_batch = stride(q, 0), p.q_token = stride(q, 1), p.q_head = stride(q, 2);
    p.k_batch = stride(k, 0), p.k_token = stride(k, 1), p.k_head = stride(k, 2);
    p.v_batch = stride(v, 0), p.v_token = stride(v, 1), p.v_head = stride(v, 2);
    p.position_batch = stride(positions, 0) * words, p.position_token = stride(positions, 1) * words;
    const uint32_t H = n(q.shape[2]), Hkv = n(k.shape[2]);
    const uint64_t groups = static_cast<uint64_t>(p.B) * p.T * (H + 2 * Hkv);
    if (groups == 0) return ORR_OK;
    return vk::dispatch(run, shader(k_state, v_state),
                        {H, Hkv, n(q.shape[3]), n(v.shape[3]), n(run->inputs[kTurnFreq]->shape[0]), cache_type(k_state), cache_type(v_state), a->get_int(a, "interleaved") != 0 ? 1u : 0u,
                         n(a->get_int(a, "switch_length")), bits("scale"), bits("long_scale")},
                        p, vk::groups(groups));
}

}  // namespace

const KernelDef kRopeAppendVulkan = {"vulkan", "vulkan", 0, supports, prepare, run};

}  // namespace orrery::attention
