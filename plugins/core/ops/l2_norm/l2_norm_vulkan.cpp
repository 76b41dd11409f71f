// y[r, i] = x[r, i] / max(||x[r]||, eps), as torch.nn.functional.normalize has it
// x: [.., E] f32, rows at equal distances    y: [.., E] f32. Device half: shaders/core/l2_norm/l2_norm.comp
#include "common/rows_vulkan.hpp"
#include "core/l2_norm/params.h"
#include "l2_norm_shaders.hpp"
#include "ops/l2_norm/l2_norm.hpp"

namespace orrery::core {
namespace {

orr_status run(const orr_run* run) {
    const orr_tensor &x = *run->inputs[0], &y = *run->outputs[0];
    if (elements(x) == 0) return ORR_OK;
    shaders::L2NormParams p{};
    p.x = vk::address(&x);
    p.y = vk::address(&y);
    p.rows = static_cast<uint32_t>(vk::rows(x));
    p.n = static_cast<uint32_t>(x.shape[x.rank - 1]);
    p.x_stride = static_cast<uint32_t>(vk::row_stride_bytes(x) / 4);
    p.eps = static_cast<float>(run->attrs->get_float(run->attrs, "eps"));
    return record_rows<shaders::l2_norm, shaders::l2_norm_subgroup>(run, p);
}

}  // namespace

const KernelDef kL2NormVulkan = {"vulkan", "vulkan", 0, supports_rows_vulkan<shaders::l2_norm>, prepare_rows_vulkan<shaders::l2_norm, shaders::l2_norm_subgroup>, run};

}  // namespace orrery::core
