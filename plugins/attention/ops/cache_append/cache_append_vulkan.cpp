// state[b, past_b + t, h, d] = x[b, t, h, d]; f16 and bf16 round to nearest even, q8_0 as the GGUF type does: the CPU's bits
// Device half: shaders/attention/cache_append/cache_append.comp
#include "attention/cache_append/params.h"
#include "cache_append_shaders.hpp"
#include "common/vulkan.hpp"
#include "ops/cache_append/cache_append.hpp"

namespace orrery::attention {
namespace {

// Rows of words: 4-byte elements, or an even number of 2-byte ones.
const orr_vulkan_shader& shader(const orr_tensor& state) {
    const uint32_t type = cache_type(state);
    return type == ORR_TYPE_F32 || (type != kQ8_0 && state.shape[3] % 2 == 0) ? shaders::cache_append : shaders::cache_append_narrow;
}

bool supports(const orr_prepare* p, char* reason, size_t size) {
    if (!takes_pages(*p->inputs[0], "state", reason, size) || !takes_rows(p->inputs[1], "x", reason, size)) return false;
    return vk::can_run(vk::device(p), shader(*p->inputs[0]), reason, size);
}

orr_status prepare(orr_prepare* p) {
    if (&shader(*p->inputs[0]) == &shaders::cache_append_narrow) p->variant(p, "narrow");
    return ORR_OK;
}

orr_status run(const orr_run* run) {
    const orr_tensor &state = *run->inputs[0], &x = *run->inputs[1];
    shaders::CacheAppendParams p{};
    p.state = vk::address(&state);
    p.x = vk::address(&x);
    p.B = static_cast<uint32_t>(x.shape[0]);
    p.T = static_cast<uint32_t>(x.shape[1]);
    p.H = static_cast<uint32_t>(x.shape[2]);
    p.D = static_cast<uint32_t>(x.shape[3]);
    p.x_batch = stride(x, 0), p.x_token = stride(x, 1), p.x_head = stride(x, 2);
    p.type = cache_type(state);
    const uint64_t each = p.type == ORR_TYPE_F32 ? p.D : (p.D + 1) / 2;
    if (elements(x) == 0) return ORR_OK;
    return vk::dispatch(run, shader(state), {}, p, vk::groups(vk::divide_up(static_cast<uint64_t>(p.B) * p.T * p.H * each, 256)));
}

}  // namespace

const KernelDef kCacheAppendVulkan = {"vulkan", "vulkan", 0, supports, prepare, run};

}  // namespace orrery::attention
