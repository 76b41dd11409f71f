// y = f over the named axes of x, on a Vulkan device. Device half: shaders/core/reduce/reduce.comp
// Which form runs is told by the axes alone, not by extents, so that a batch of N gives the bits of N batches.
#include "common/vulkan_walk.hpp"
#include "core/reduce/params.h"
#include "ops/reduce/reduce.hpp"
#include "reduce_shaders.hpp"

namespace orrery::core {
namespace {

// Neighbouring outputs read neighbouring elements where the last axis stays: one invocation each.
const orr_vulkan_shader& shader_of(const ReduceAttrs& a, const orr_tensor& x) {
    return x.rank > 0 && !(a.axes >> (x.rank - 1) & 1) ? shaders::reduce_each : shaders::reduce_group;
}

bool supports(const orr_prepare* p, char* reason, size_t size) {
    const orr_tensor& x = *p->inputs[0];
    return can_index(p, reason, size) && vk::can_run(vk::device(p), shader_of(reduce_attrs(p->attrs, x.rank), x), reason, size);
}

orr_status prepare(orr_prepare* p) {
    return guard(p->host, [&] { p->variant(p, shader_of(reduce_attrs(p->attrs, p->inputs[0]->rank), *p->inputs[0]).name); });
}

// The axes of x that are reduced, or those that are not, merged; written from `extent` and `stride` on. Returns how many.
uint32_t put_axes(const orr_tensor& x, uint32_t bits, bool reduced, uint32_t* extent, uint32_t* stride, uint32_t* count) {
    Index shape{}, from{};
    int32_t rank = 0;
    for (int32_t axis = 0; axis < x.rank; axis++) {
        if (static_cast<bool>(bits >> axis & 1) != reduced) continue;
        shape[rank] = x.shape[axis];
        from[rank++] = x.stride_bytes[axis];
    }
    const auto loop = make_loop<1>(rank, shape, {from});
    *count = static_cast<uint32_t>(loop.rows * loop.inner);
    if (loop.rows * loop.inner <= 1) return 0;
    extent[0] = static_cast<uint32_t>(loop.inner);
    for (int32_t k = 1; k <= loop.rank; k++) extent[k] = static_cast<uint32_t>(loop.shape[loop.rank - k]);
    put_strides(loop, 0, x.block_bytes, stride);
    return axes_of(loop);
}

orr_status run(const orr_run* run) {
    return guard(run->host, [&]() -> orr_status {
        const orr_tensor &x = *run->inputs[0], &y = *run->outputs[0];
        if (elements(y) == 0) return ORR_OK;
        const ReduceAttrs a = reduce_attrs(run->attrs, x.rank);
        shaders::ReduceParams p{};
        p.x = vk::address(&x);
        p.y = vk::address(&y);
        const uint32_t kept = put_axes(x, a.axes, false, p.extent, p.stride, &p.outputs);
        const uint32_t reduced = put_axes(x, a.axes, true, p.extent + kept, p.stride + kept, &p.n);
        p.divisor = needs_mean(a.function) && a.unbiased ? static_cast<float>(p.n) - 1.0f : static_cast<float>(p.n);
        const orr_vulkan_shader& shader = shader_of(a, x);
        const bool each = &shader == &shaders::reduce_each;
        return vk::dispatch(run, shader, {kept, reduced, x.type, static_cast<uint32_t>(a.function)}, p,
                            each ? groups_of(p.outputs) : vk::groups(p.outputs));
    });
}

}  // namespace

const KernelDef kReduceVulkan = {"vulkan", "vulkan", 0, supports, prepare, run};

}  // namespace orrery::core
