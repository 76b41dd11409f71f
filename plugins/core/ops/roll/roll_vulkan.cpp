// y[(i + shift) mod n] = x[i] along each named axis, on a Vulkan device. Device half: shaders/core/roll/roll.comp
#include "common/vulkan_walk.hpp"
#include "core/roll/params.h"
#include "ops/roll/roll.hpp"
#include "roll_shaders.hpp"

namespace orrery::core {
namespace {

const orr_vulkan_shader& shader_of(uint32_t bytes) {
    switch (bytes) {
        case 1:
            return shaders::roll_8;
        case 2:
            return shaders::roll_16;
        case 4:
            return shaders::roll_32;
        default:
            return shaders::roll_64;
    }
}

bool supports(const orr_prepare* p, char* reason, size_t size) {
    return can_index(p, reason, size) && vk::can_run(vk::device(p), shader_of(p->inputs[0]->block_bytes), reason, size);
}

orr_status run(const orr_run* run) {
    return guard(run->host, [&]() -> orr_status {
        const orr_tensor &x = *run->inputs[0], &y = *run->outputs[0];
        if (elements(y) == 0) return ORR_OK;
        const Index origin = roll_origins(run->attrs, x);
        shaders::RollParams p{};
        p.x = vk::address(&x);
        p.y = vk::address(&y);
        p.n = static_cast<uint32_t>(elements(y));
        for (int32_t k = 0; k < x.rank; k++) {
            const int32_t axis = x.rank - 1 - k;
            p.extent[k] = static_cast<uint32_t>(x.shape[axis]);
            p.origin[k] = static_cast<uint32_t>(origin[axis]);
            p.stride_x[k] = x.shape[axis] == 1 ? 0 : static_cast<uint32_t>(x.stride_bytes[axis] / x.block_bytes);
        }
        return vk::dispatch(run, shader_of(x.block_bytes), {static_cast<uint32_t>(x.rank)}, p, groups_of(p.n));
    });
}

}  // namespace

const KernelDef kRollVulkan = {"vulkan", "vulkan", 0, supports, nullptr, run};

}  // namespace orrery::core
