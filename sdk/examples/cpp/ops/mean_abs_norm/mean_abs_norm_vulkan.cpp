// y[r, i] = x[r, i] / (mean_i(|x[r, i]|) + eps), in f32. Device half: shaders/mean_abs_norm/mean_abs_norm.comp
// x: [.., E], rows contiguous, at equal distances    y: contiguous
#include "mean_abs_norm/params.h"
#include "mean_abs_norm_shaders.hpp"
#include "ops/mean_abs_norm/mean_abs_norm.hpp"
#include "orrery/vulkan.hpp"

namespace example {
namespace {

namespace vk = orrery::vk;
constexpr int64_t kMostElems = (INT64_C(1) << 31) - 1;  // the shader counts in 32 bits

bool supports(const orr_prepare* p, char* reason, size_t reason_size) {
    const orr_tensor& x = *p->inputs[0];
    if (!vk::even_rows(x)) return orrery::refuse(reason, reason_size, "the rows of x lie at uneven distances");
    const int64_t stride_bytes = vk::row_stride_bytes(x), rows = vk::rows(x);
    if (stride_bytes < 0 || stride_bytes % 4)
        return orrery::refuse(reason, reason_size, "the rows of x lie " + std::to_string(stride_bytes) + " bytes apart");
    if (orrery::elements(x) > kMostElems || (stride_bytes > 0 && rows > kMostElems / (stride_bytes / 4)))
        return orrery::refuse(reason, reason_size, orrery::describe(x) + " spans 2^31 elements or more");
    return vk::can_run(vk::device(p), orrery::shaders::mean_abs_norm, reason, reason_size);
}

orr_status run(const orr_run* run) {
    const orr_tensor &x = *run->inputs[0], &y = *run->outputs[0];
    if (orrery::elements(x) == 0) return ORR_OK;
    orrery::shaders::MeanAbsNormParams p{};
    p.x = vk::address(&x);
    p.y = vk::address(&y);
    p.rows = static_cast<uint32_t>(vk::rows(x));
    p.n = static_cast<uint32_t>(x.shape[x.rank - 1]);
    p.x_stride = static_cast<uint32_t>(vk::row_stride_bytes(x) / 4);
    p.eps = static_cast<float>(run->attrs->get_float(run->attrs, "eps"));
    return vk::dispatch(run, orrery::shaders::mean_abs_norm, {}, p, vk::groups(p.rows));  // a workgroup for each row
}

bool self_test(const orr_prepare* node, uint32_t i, orr_self_test* test) {
    if (i > 0) return false;
    orrery::keep_rows(node->inputs[0], test->inputs[0], 3);
    return true;
}

}  // namespace

const orrery::KernelDef kMeanAbsNormVulkan = {"vulkan", "vulkan", 0, supports, nullptr, run, self_test};

}  // namespace example
