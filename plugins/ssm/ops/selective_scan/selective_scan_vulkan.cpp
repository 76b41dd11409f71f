// h[c, n] = e^(s A[c, n]) h[c, n] + s B[t, n] u[t, c],  y[t, c] = (sum_n h[c, n] C[t, n] + D[c] u[t, c]) silu(z[t, c])
// Device half: shaders/ssm/selective_scan/selective_scan.comp
#include "common/vulkan.hpp"
#include "ops/selective_scan/selective_scan.hpp"
#include "selective_scan_shaders.hpp"
#include "ssm/selective_scan/params.h"

namespace orrery::ssm {
namespace {

constexpr int64_t kMostStates = 128;  // of a channel, in registers

bool supports(const orr_prepare* p, char* reason, size_t size) {
    constexpr std::pair<uint32_t, const char*> kRows[] = {{kScanU, "u"}, {kScanDelta, "delta"}, {kScanB, "B"}, {kScanC, "C"}, {kScanZ, "z"}};
    for (const auto& [port, name] : kRows) {
        const orr_tensor* t = vk::input(p, port);
        if (t && !vk::even_rows(*t)) return refuse(reason, size, "the tokens of " + std::string(name) + " lie at uneven distances");
        if (t && !takes_size(*t, name, reason, size)) return false;
    }
    for (const uint32_t port : {kScanA, kScanD, kScanDeltaBias})
        if (const orr_tensor* t = vk::input(p, port); t && !is_contiguous(*t)) return refuse(reason, size, "A, D or delta_bias has gaps");
    if (!is_contiguous(*p->outputs[0])) return refuse(reason, size, "y has gaps");
    if (const int64_t n = p->inputs[kScanA]->shape[1]; n < 1 || n > kMostStates) return refuse(reason, size, std::to_string(n) + " states a channel, the shader takes 1 to " + std::to_string(kMostStates));
    if (!takes_state(*p->inputs[kScanState], "state", reason, size) || !takes_state(*p->outputs[1], "new_state", reason, size)) return false;
    return vk::can_run(vk::device(p), shaders::selective_scan, reason, size);
}

orr_status run(const orr_run* run) {
    const orr_tensor& u = *run->inputs[kScanU];
    const orr_tensor *z = vk::input(run, kScanZ), *d = vk::input(run, kScanD), *bias = vk::input(run, kScanDeltaBias);
    const auto token = [](const orr_tensor* t) { return t ? static_cast<uint32_t>(vk::row_stride_bytes(*t) / 4) : 0; };
    shaders::SelectiveScanParams p{};
    p.u = vk::address(&u);
    p.delta = vk::address(run->inputs[kScanDelta]);
    p.a = vk::address(run->inputs[kScanA]);
    p.b = vk::address(run->inputs[kScanB]);
    p.c = vk::address(run->inputs[kScanC]);
    p.d = vk::address(d);
    p.z = vk::address(z);
    p.delta_bias = vk::address(bias);
    p.state = vk::address(run->inputs[kScanState]);
    p.new_state = vk::address(run->outputs[1]);
    p.y = vk::address(run->outputs[0]);
    p.batch = static_cast<uint32_t>(u.shape[0]);
    p.T = static_cast<uint32_t>(u.shape[1]);
    p.C = static_cast<uint32_t>(u.shape[2]);
    p.u_row = token(&u), p.delta_row = token(run->inputs[kScanDelta]), p.b_row = token(run->inputs[kScanB]), p.c_row = token(run->inputs[kScanC]), p.z_row = token(z);
    p.d_type = d ? d->type : 0;
    p.bias_type = bias ? bias->type : 0;
    const uint32_t flags = (run->attrs->get_int(run->attrs, "delta_softplus") != 0 ? 1 : 0) | (is_rows(*run->inputs[kScanState]) ? 2 : 0) | (is_rows(*run->outputs[1]) ? 4 : 0);
    const uint64_t channels = static_cast<uint64_t>(p.batch) * p.C;
    if (channels == 0) return ORR_OK;
    return vk::dispatch(run, shaders::selective_scan, {static_cast<uint32_t>(run->inputs[kScanA]->shape[1]), flags}, p, vk::groups(vk::divide_up(channels, 32)));
}

}  // namespace

const KernelDef kSelectiveScanVulkan = {"vulkan", "vulkan", 0, supports, nullptr, run};

}  // namespace orrery::ssm
