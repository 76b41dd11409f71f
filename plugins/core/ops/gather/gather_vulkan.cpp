// y[a…, j…, b…] = data[a…, indices[j…], b…] on a Vulkan device. Device half: shaders/core/gather/gather.comp
#include "common/vulkan_walk.hpp"
#include "core/gather/params.h"
#include "gather_shaders.hpp"
#include "ops/gather/gather.hpp"

namespace orrery::core {
namespace {

const orr_vulkan_shader& shader_of(uint64_t bytes) {
    switch (bytes) {
        case 1:
            return shaders::gather_8;
        case 2:
            return shaders::gather_16;
        case 4:
            return shaders::gather_32;
        case 8:
            return shaders::gather_64;
        default:
            return shaders::gather_128;
    }
}

bool supports(const orr_prepare* p, char* reason, size_t size) {
    for (uint32_t n = 0; n < 2; n++)
        if (!is_contiguous(*p->inputs[n])) return refuse(reason, size, std::string(n ? "indices" : "data") + " must be contiguous");
    return can_index(p, reason, size) && vk::can_run(vk::device(p), shader_of(p->inputs[0]->block_bytes), reason, size);
}

orr_status run(const orr_run* run) {
    return guard(run->host, [&]() -> orr_status {
        const orr_tensor &x = *run->inputs[0], &indices = *run->inputs[1], &y = *run->outputs[0];
        if (elements(y) == 0) return ORR_OK;
        const int32_t axis = normal_axis(run->attrs->get_int(run->attrs, "axis"), x.rank, "gather");
        shaders::GatherParams p{};
        p.x = vk::address(&x);
        p.indices = vk::address(&indices);
        p.y = vk::address(&y);
        uint64_t inner = static_cast<uint64_t>(elements(x, axis + 1)), bytes = x.block_bytes;
        // Neighbours move together, up to 16 bytes.
        while (bytes < 16 && inner % 2 == 0 && (p.x | p.y) % (2 * bytes) == 0) {
            inner /= 2;
            bytes *= 2;
        }
        p.n = static_cast<uint32_t>(static_cast<uint64_t>(elements(y)) * y.block_bytes / bytes);
        p.inner = static_cast<uint32_t>(inner);
        p.count = static_cast<uint32_t>(elements(indices));
        p.extent = static_cast<uint32_t>(x.shape[axis]);
        p.fault = vk::fault(run, gather_refusal("{value}", x.shape[axis]));
        return vk::dispatch(run, shader_of(bytes), {indices.type == ORR_TYPE_I64}, p, groups_of(p.n));
    });
}

}  // namespace

const KernelDef kGatherVulkan = {"vulkan", "vulkan", 0, supports, nullptr, run};

}  // namespace orrery::core
