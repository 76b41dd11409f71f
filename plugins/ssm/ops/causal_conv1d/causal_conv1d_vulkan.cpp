// y[b, t, c] = activation(bias[c] + sum_j w[c, j] x[b, t - (K - 1) + j, c]); x before 0 is the state, oldest first
// Device half: shaders/ssm/causal_conv1d/causal_conv1d.comp
#include "causal_conv1d_shaders.hpp"
#include "common/vulkan.hpp"
#include "ops/causal_conv1d/causal_conv1d.hpp"
#include "ssm/causal_conv1d/params.h"

namespace orrery::ssm {
namespace {

// As the shader has them.
enum : uint32_t { kSilu = 1, kWriteY = 2, kWriteState = 4, kReadRows = 8, kWriteRows = 16 };
constexpr uint32_t kStep = 4;  // tokens of an invocation; with no more, it writes the state as well

bool supports(const orr_prepare* p, char* reason, size_t size) {
    const orr_tensor *x = p->inputs[kConvX], *bias = vk::input(p, kConvBias);
    if (!is_contiguous(*p->inputs[kConvWeight]) || (bias && !is_contiguous(*bias))) return refuse(reason, size, "w or bias has gaps");
    if (x->shape[2] > 1 && x->stride_bytes[2] != 4) return refuse(reason, size, "the channels of x have gaps");
    if (!is_contiguous(*p->outputs[0])) return refuse(reason, size, "y has gaps");
    if (!takes_size(*x, "x", reason, size) || !takes_size(*p->outputs[0], "y", reason, size)) return false;
    if (!takes_state(*p->inputs[kConvState], "state", reason, size) || !takes_state(*p->outputs[1], "new_state", reason, size)) return false;
    return vk::can_run(vk::device(p), shaders::causal_conv1d, reason, size);
}

orr_status run(const orr_run* run) {
    const orr_tensor &x = *run->inputs[kConvX], &w = *run->inputs[kConvWeight], &state = *run->inputs[kConvState], &next = *run->outputs[1];
    const orr_tensor* bias = vk::input(run, kConvBias);
    shaders::CausalConv1dParams p{};
    p.x = vk::address(&x);
    p.w = vk::address(&w);
    p.bias = vk::address(bias);
    p.state = vk::address(&state);
    p.new_state = vk::address(&next);
    p.y = vk::address(run->outputs[0]);
    p.B = static_cast<uint32_t>(x.shape[0]);
    p.T = static_cast<uint32_t>(x.shape[1]);
    p.C = static_cast<uint32_t>(x.shape[2]);
    p.taps = static_cast<uint32_t>(w.shape[w.rank - 1]);
    p.x_batch = static_cast<uint32_t>(x.stride_bytes[0] / 4);
    p.x_token = static_cast<uint32_t>(x.stride_bytes[1] / 4);
    p.step = kStep;
    p.w_type = w.type;
    p.bias_type = bias ? bias->type : 0;
    const uint32_t common = (wants_silu(run->attrs->get_string(run->attrs, "activation")) ? kSilu : 0) | (is_rows(state) ? kReadRows : 0) | (is_rows(next) ? kWriteRows : 0);
    const uint64_t channels = static_cast<uint64_t>(p.B) * p.C;
    if (channels == 0) return ORR_OK;
    const bool together = p.T <= kStep;
    p.flags = common | kWriteY | (together ? kWriteState : 0);
    if (p.T > 0) {
        const orr_status status = vk::dispatch(run, shaders::causal_conv1d, {}, p, vk::groups(vk::divide_up(channels * vk::divide_up(p.T, kStep), 64)));
        if (status != ORR_OK || together) return status;
        vk::recorder(run).barrier(&vk::recorder(run));
    }
    p.flags = common | kWriteState;
    return vk::dispatch(run, shaders::causal_conv1d, {}, p, vk::groups(vk::divide_up(channels, 64)));
}

}  // namespace

const KernelDef kCausalConv1dVulkan = {"vulkan", "vulkan", 0, supports, nullptr, run};

}  // namespace orrery::ssm
