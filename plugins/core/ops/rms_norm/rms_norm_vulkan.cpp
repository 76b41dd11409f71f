// y[r, i] = x[r, i] / sqrt(mean_i(x[r, i]^2) + eps) * (w[i] + weight_offset)
// x: [.., E] f32, rows at equal distances    w: [E] f32 | f16 | bf16    y: [.., E] f32
// Zhang & Sennrich 2019, arXiv:1910.07467. Device half: shaders/core/rms_norm/rms_norm.comp
#include "common/rows_vulkan.hpp"
#include "core/rms_norm/params.h"
#include "ops/rms_norm/rms_norm.hpp"
#include "rms_norm_shaders.hpp"

namespace orrery::core {
namespace {

orr_status run(const orr_run* run) {
    const orr_tensor &x = *run->inputs[0], &y = *run->outputs[0];
    if (elements(x) == 0) return ORR_OK;
    const orr_tensor* w = vk::input(run, 1);
    shaders::RmsNormParams p{};
    p.x = vk::address(&x);
    p.w = vk::address(w);
    p.y = vk::address(&y);
    p.rows = static_cast<uint32_t>(vk::rows(x));
    p.n = static_cast<uint32_t>(x.shape[x.rank - 1]);
    p.x_stride = static_cast<uint32_t>(vk::row_stride_bytes(x) / 4);
    p.w_type = w ? w->type : 0;
    p.eps = static_cast<float>(run->attrs->get_float(run->attrs, "eps"));
    p.weight_offset = static_cast<float>(run->attrs->get_float(run->attrs, "weight_offset"));
    return record_rows<shaders::rms_norm, shaders::rms_norm_subgroup>(run, p);
}

}  // namespace

const KernelDef kRmsNormVulkan = {"vulkan", "vulkan", 0, supports_rows_vulkan<shaders::rms_norm>, prepare_rows_vulkan<shaders::rms_norm, shaders::rms_norm_subgroup>, run};

}  // namespace orrery::core
