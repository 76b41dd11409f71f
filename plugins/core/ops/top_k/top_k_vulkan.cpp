// The k largest elements of each row on a Vulkan device. Device half: shaders/core/top_k/top_k.comp
// x: rows at equal distances. k passes over a row: meant for k of a few dozen (experts, candidates).
#include "common/vulkan_walk.hpp"
#include "core/top_k/params.h"
#include "ops/top_k/top_k.hpp"
#include "top_k_shaders.hpp"

namespace orrery::core {
namespace {

bool supports(const orr_prepare* p, char* reason, size_t size) {
    if (!can_index(p, reason, size)) return false;
    if (!vk::even_rows(*p->inputs[0])) return refuse(reason, size, "the rows of x lie at uneven distances");
    return vk::can_run(vk::device(p), shaders::top_k, reason, size);
}

orr_status run(const orr_run* run) {
    const orr_tensor& x = *run->inputs[0];
    if (elements(x) == 0) return ORR_OK;
    shaders::TopKParams p{};
    p.x = vk::address(&x);
    p.values = vk::address(run->outputs[0]);
    p.indices = vk::address(run->outputs[1]);
    p.rows = static_cast<uint32_t>(vk::rows(x));
    p.n = static_cast<uint32_t>(x.shape[x.rank - 1]);
    p.x_stride = static_cast<uint32_t>(vk::row_stride_bytes(x) / 4);
    p.k = static_cast<uint32_t>(run->attrs->get_int(run->attrs, "k"));
    return vk::dispatch(run, shaders::top_k, {}, p, vk::groups(p.rows));
}

}  // namespace

const KernelDef kTopKVulkan = {"vulkan", "vulkan", 0, supports, nullptr, run};

}  // namespace orrery::core
