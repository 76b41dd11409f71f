// p = softmax(logits); ids = the k largest of p, largest first, the lower id first among equals; weights = p[ids] * scale
// Device half: shaders/language/moe_route/moe_route.comp
#include "language/moe_route/params.h"
#include "moe_route_shaders.hpp"
#include "ops/moe_route/moe_route.hpp"
#include "orrery/vulkan.hpp"

namespace orrery::language {
namespace {

constexpr int64_t kMostExperts = 2048;  // in shared memory

bool supports(const orr_prepare* p, char* reason, size_t size) {
    const orr_tensor& x = *p->inputs[0];
    if (!vk::even_rows(x)) return refuse(reason, size, "the rows of logits lie at uneven distances");
    if (x.shape[x.rank - 1] > kMostExperts) return refuse(reason, size, std::to_string(x.shape[x.rank - 1]) + " experts, the shader takes " + std::to_string(kMostExperts));
    if (vk::rows(x) * vk::row_stride_bytes(x) >= int64_t{1} << 33) return refuse(reason, size, "logits span more than the 8 GiB that the shader reaches");
    return vk::can_run(vk::device(p), shaders::moe_route, reason, size);
}

orr_status run(const orr_run* run) {
    const orr_tensor& x = *run->inputs[0];
    const orr_attrs* a = run->attrs;
    shaders::MoeRouteParams p{};
    p.logits = vk::address(&x);
    p.ids = vk::address(run->outputs[0]);
    p.weights = vk::address(run->outputs[1]);
    p.rows = static_cast<uint32_t>(vk::rows(x));
    p.experts = static_cast<uint32_t>(x.shape[x.rank - 1]);
    p.top_k = static_cast<uint32_t>(a->get_int(a, "top_k"));
    p.row_stride = static_cast<uint32_t>(vk::row_stride_bytes(x) / 4);
    p.softmax_first = std::string_view(a->get_string(a, "order")) == "softmax_topk";
    p.normalise = a->get_int(a, "normalise") != 0;
    p.scale = static_cast<float>(a->get_float(a, "scale"));
    if (p.rows == 0) return ORR_OK;
    return vk::dispatch(run, shaders::moe_route, {}, p, vk::groups(p.rows));
}

}  // namespace

const KernelDef kMoeRouteVulkan = {"vulkan", "vulkan", 0, supports, nullptr, run};

}  // namespace orrery::language
