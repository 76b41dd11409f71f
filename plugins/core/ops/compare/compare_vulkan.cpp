// y[i] = a[i] ? b[i] with broadcasting, on a Vulkan device. Device half: shaders/core/compare/compare.comp
#include "common/binary_params.h"
#include "common/vulkan_walk.hpp"
#include "compare_shaders.hpp"
#include "ops/compare/compare.hpp"

namespace orrery::core {
namespace {

bool supports(const orr_prepare* p, char* reason, size_t size) {
    return can_index(p, reason, size) && vk::can_run(vk::device(p), shaders::compare, reason, size);
}

orr_status run(const orr_run* run) {
    return guard(run->host, [&]() -> orr_status {
        const orr_tensor &a = *run->inputs[0], &b = *run->inputs[1], &y = *run->outputs[0];
        const Index sa = broadcast_strides(a, y.rank), sb = broadcast_strides(b, y.rank);
        const auto loop = make_loop<3>(y.rank, shape_of(y), {strides_of(y), sa, sb});
        if (loop.rows == 0) return ORR_OK;
        shaders::BinaryParams p{};
        p.a = vk::address(&a);
        p.b = vk::address(&b);
        p.y = vk::address(&y);
        p.n = static_cast<uint32_t>(elements(y));
        put_extents(loop, p.extent);
        put_strides(loop, 1, a.block_bytes, p.stride_a);
        put_strides(loop, 2, b.block_bytes, p.stride_b);
        return vk::dispatch(run, shaders::compare, {axes_of(loop), a.type, static_cast<uint32_t>(relation_of(run->attrs))}, p, groups_of(p.n));
    });
}

}  // namespace

const KernelDef kCompareVulkan = {"vulkan", "vulkan", 0, supports, nullptr, run};

}  // namespace orrery::core
