// y[r, i] = (x[r, i] - mean_i(x[r])) / sqrt(var_i(x[r]) + eps) * w[i] + b[i], biased variance
// x: [.., E] f32, rows at equal distances    w, b: [E] f32 | f16 | bf16, 1 and 0 where absent    y: [.., E] f32
// Ba et al. 2016, arXiv:1607.06450. Device half: shaders/core/layer_norm/layer_norm.comp
#include "common/rows_vulkan.hpp"
#include "core/layer_norm/params.h"
#include "layer_norm_shaders.hpp"
#include "ops/layer_norm/layer_norm.hpp"

namespace orrery::core {
namespace {

orr_status run(const orr_run* run) {
    const orr_tensor &x = *run->inputs[0], &y = *run->outputs[0];
    if (elements(x) == 0) return ORR_OK;
    const orr_tensor *w = vk::input(run, 1), *b = vk::input(run, 2);
    shaders::LayerNormParams p{};
    p.x = vk::address(&x);
    p.w = vk::address(w);
    p.b = vk::address(b);
    p.y = vk::address(&y);
    p.rows = static_cast<uint32_t>(vk::rows(x));
    p.n = static_cast<uint32_t>(x.shape[x.rank - 1]);
    p.x_stride = static_cast<uint32_t>(vk::row_stride_bytes(x) / 4);
    p.w_type = w ? w->type : 0;
    p.b_type = b ? b->type : 0;
    p.eps = static_cast<float>(run->attrs->get_float(run->attrs, "eps"));
    return record_rows<shaders::layer_norm, shaders::layer_norm_subgroup>(run, p);
}

}  // namespace

const KernelDef kLayerNormVulkan = {"vulkan", "vulkan", 0, supports_rows_vulkan<shaders::layer_norm>, prepare_rows_vulkan<shaders::layer_norm, shaders::layer_norm_subgroup>, run};

}  // namespace orrery::core
