// x with elements added at both ends of its axes, on a Vulkan device. Device half: shaders/core/pad/pad.comp
#include "common/number.hpp"
#include "common/vulkan_walk.hpp"
#include "core/pad/params.h"
#include "ops/pad/pad.hpp"
#include "pad_shaders.hpp"

namespace orrery::core {
namespace {

constexpr int32_t kMostAxes = 5;

struct PadAxes {
    int32_t count = 0;
    Index extent{}, before{}, extent_x{}, stride_x{};
};

// From the inside outwards; axes that are not padded are one with their inner neighbour of the same kind where x allows it.
PadAxes axes_of(const Padding& p, const orr_tensor& x, const orr_tensor& y) {
    PadAxes a;
    for (int32_t axis = x.rank - 1; axis >= 0; axis--) {
        if (y.shape[axis] == 1 && x.shape[axis] == 1) continue;
        const int32_t last = a.count - 1;
        const bool plain = x.shape[axis] == y.shape[axis];
        if (plain && last >= 0 && a.extent[last] == a.extent_x[last] && x.stride_bytes[axis] == a.stride_x[last] * a.extent[last]) {
            a.extent[last] *= y.shape[axis];
            a.extent_x[last] *= x.shape[axis];
            continue;
        }
        a.extent[a.count] = y.shape[axis];
        a.before[a.count] = p.before[axis];
        a.extent_x[a.count] = x.shape[axis];
        a.stride_x[a.count++] = x.stride_bytes[axis];
    }
    return a;
}

const orr_vulkan_shader& shader_of(uint32_t bytes) {
    switch (bytes) {
        case 1:
            return shaders::pad_8;
        case 2:
            return shaders::pad_16;
        case 4:
            return shaders::pad_32;
        default:
            return shaders::pad_64;
    }
}

bool supports(const orr_prepare* p, char* reason, size_t size) {
    const orr_tensor &x = *p->inputs[0], &y = *p->outputs[0];
    if (!can_index(p, reason, size)) return false;
    const int32_t axes = axes_of(padding_of(p->attrs, x.rank), x, y).count;
    if (axes > kMostAxes)
        return refuse(reason, size, "x has " + std::to_string(axes) + " axes that do not merge; it takes " + std::to_string(kMostAxes));
    return vk::can_run(vk::device(p), shader_of(x.block_bytes), reason, size);
}

orr_status run(const orr_run* run) {
    return guard(run->host, [&]() -> orr_status {
        const orr_tensor &x = *run->inputs[0], &y = *run->outputs[0];
        if (elements(y) == 0) return ORR_OK;
        const Padding padding = padding_of(run->attrs, x.rank);
        const PadAxes axes = axes_of(padding, x, y);
        shaders::PadParams p{};
        p.x = vk::address(&x);
        p.y = vk::address(&y);
        p.n = static_cast<uint32_t>(elements(y));
        encode(x.type, padding.value, p.constant);
        for (int32_t k = 0; k < axes.count; k++) {
            p.extent[k] = static_cast<uint32_t>(axes.extent[k]);
            p.before[k] = static_cast<uint32_t>(axes.before[k]);
            p.extent_x[k] = static_cast<uint32_t>(axes.extent_x[k]);
            p.stride_x[k] = static_cast<uint32_t>(axes.stride_x[k] / x.block_bytes);
        }
        return vk::dispatch(run, shader_of(x.block_bytes), {static_cast<uint32_t>(axes.count), static_cast<uint32_t>(padding.mode)}, p,
                            groups_of(p.n));
    });
}

}  // namespace

const KernelDef kPadVulkan = {"vulkan", "vulkan", 0, supports, nullptr, run};

}  // namespace orrery::core
