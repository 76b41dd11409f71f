// y[.., i] = x[.., i] c_i - x[.., j] s_i,  y[.., j] = x[.., j] c_i + x[.., i] s_i
// The angle is the f32 product position times inv_freq, as in the other kernels. Device half: shaders/attention/rope/rope.comp
#include "attention/rope/params.h"
#include "common/vulkan.hpp"
#include "ops/rope/rope.hpp"
#include "rope_shaders.hpp"

namespace orrery::attention {
namespace {

bool supports(const orr_prepare* p, char* reason, size_t size) {
    const orr_tensor* far = vk::input(p, kRopeLongFreq);
    if (!takes_rows(p->inputs[kRopeX], "x", reason, size) || !takes_rows(p->inputs[kRopeFreq], "inv_freq", reason, size) || !takes_rows(far, "long_inv_freq", reason, size)) return false;
    if (!is_contiguous(*p->outputs[0])) return refuse(reason, size, "y has gaps");
    return takes_size(p->inputs[kRopePositions], "positions", reason, size) && vk::can_run(vk::device(p), shaders::rope, reason, size);
}

orr_status run(const orr_run* run) {
    const orr_tensor &x = *run->inputs[kRopeX], &positions = *run->inputs[kRopePositions];
    const orr_attrs* a = run->attrs;
    const uint32_t words = positions.block_bytes / 4;
    shaders::RopeParams p{};
    p.x = vk::address(&x);
    p.y = vk::address(run->outputs[0]);
    p.positions = vk::address(&positions);
    p.freq = vk::address(run->inputs[kRopeFreq]);
    p.long_freq = vk::address(vk::input(run, kRopeLongFreq));
    p.B = static_cast<uint32_t>(x.shape[0]);
    p.T = static_cast<uint32_t>(x.shape[1]);
    p.H = static_cast<uint32_t>(x.shape[2]);
    p.D = static_cast<uint32_t>(x.shape[3]);
    p.pairs = static_cast<uint32_t>(run->inputs[kRopeFreq]->shape[0]);
    p.x_batch = stride(x, 0), p.x_token = stride(x, 1), p.x_head = stride(x, 2);
    p.position_batch = stride(positions, 0) * words, p.position_token = stride(positions, 1) * words;
    p.batch_groups = static_cast<uint32_t>(vk::divide_up(static_cast<uint64_t>(p.T) * p.H * ((p.D + 1) / 2), 256));
    p.switch_length = static_cast<int32_t>(a->get_int(a, "switch_length"));
    p.interleaved = a->get_int(a, "interleaved") != 0;
    p.scale = static_cast<float>(a->get_float(a, "scale"));
    p.long_scale = static_cast<float>(a->get_float(a, "long_scale"));
    if (elements(x) == 0) return ORR_OK;
    return vk::dispatch(run, shaders::rope, {}, p, vk::groups(static_cast<uint64_t>(x.shape[0]) * p.batch_groups));
}

}  // namespace

const KernelDef kRopeVulkan = {"vulkan", "vulkan", 0, supports, nullptr, run};

}  // namespace orrery::attention
