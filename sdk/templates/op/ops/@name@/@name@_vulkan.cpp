// y[r, i] = w[i] * softsign(scale * x[r, i]), in f32. Device half: shaders/@name@/@name@.comp
// x: [.., E], rows contiguous, at equal distances    w: [E] contiguous    y: contiguous
#include "@name@/params.h"
#include "@name@_shaders.hpp"
#include "ops/@name@/@name@.hpp"
#include "orrery/vulkan.hpp"

namespace orrery::@name@_kernels {
namespace {

constexpr uint64_t kGroup = 256;                      // local_size_x of the shader
constexpr int64_t kMostElems = (INT64_C(1) << 31) - 1;  // the shader counts in 32 bits

bool supports(const orr_prepare* p, char* reason, size_t reason_size) {
    const orr_tensor &x = *p->inputs[kX], &w = *p->inputs[kW];
    if (!vk::even_rows(x)) return refuse(reason, reason_size, "the rows of x lie at uneven distances");
    if (!is_contiguous(w)) return refuse(reason, reason_size, "w is not contiguous");
    const int64_t stride_bytes = vk::row_stride_bytes(x), rows = vk::rows(x);
    if (stride_bytes < 0 || stride_bytes % 4) return refuse(reason, reason_size, "the rows of x lie " + std::to_string(stride_bytes) + " bytes apart");
    if (elements(x) > kMostElems || (stride_bytes > 0 && rows > kMostElems / (stride_bytes / 4)))
        return refuse(reason, reason_size, describe(x) + " spans 2^31 elements or more");
    return vk::can_run(vk::device(p), shaders::@name@_f32, reason, reason_size);
}

orr_status run(const orr_run* run) {
    const orr_tensor &x = *run->inputs[kX], &y = *run->outputs[0];
    const auto count = static_cast<uint64_t>(elements(x));
    if (count == 0) return ORR_OK;
    shaders::@Name@Params p{};
    p.x = vk::address(&x);
    p.w = vk::address(run->inputs[kW]);
    p.y = vk::address(&y);
    p.count = static_cast<uint32_t>(count);
    p.n = static_cast<uint32_t>(x.shape[x.rank - 1]);
    p.x_stride = static_cast<uint32_t>(vk::row_stride_bytes(x) / 4);
    p.scale = static_cast<float>(run->attrs->get_float(run->attrs, "scale"));
    return vk::dispatch(run, shaders::@name@_f32, {}, p, vk::groups(vk::divide_up(count, kGroup)));
}

// A small node of the real one's width, on which the engine compares a new device with the definition.
bool self_test(const orr_prepare* node, uint32_t i, orr_self_test* test) {
    if (i > 0) return false;
    keep_rows(node->inputs[kX], test->inputs[kX], 3);
    return true;
}

}  // namespace

const KernelDef kVulkan = {"vulkan", "vulkan", 0, supports, nullptr, run, self_test};

}  // namespace orrery::@name@_kernels
