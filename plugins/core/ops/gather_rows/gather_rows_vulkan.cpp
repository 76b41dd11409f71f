// y[b, …] = x[b, index[b], …] on a Vulkan device. Device half: shaders/core/gather_rows/gather_rows.comp
#include "common/vulkan_walk.hpp"
#include "core/gather_rows/params.h"
#include "gather_rows_shaders.hpp"
#include "ops/gather_rows/gather_rows.hpp"

namespace orrery::core {
namespace {

const orr_vulkan_shader& shader_of(uint32_t bytes) {
    switch (bytes) {
        case 1:
            return shaders::gather_rows_8;
        case 2:
            return shaders::gather_rows_16;
        case 4:
            return shaders::gather_rows_32;
        default:
            return shaders::gather_rows_64;
    }
}

bool supports(const orr_prepare* p, char* reason, size_t size) {
    return can_index(p, reason, size) && vk::can_run(vk::device(p), shader_of(p->inputs[0]->block_bytes), reason, size);
}

orr_status record(const orr_run* run) {
    const orr_tensor &x = *run->inputs[0], &indices = *run->inputs[1], &y = *run->outputs[0];
    if (elements(y) == 0) return ORR_OK;
    Index shape{}, to{}, from{};
    for (int32_t k = 1; k < y.rank; k++) {
        shape[k - 1] = y.shape[k];
        to[k - 1] = y.stride_bytes[k];
        from[k - 1] = x.stride_bytes[k + 1];
    }
    const auto loop = make_loop<2>(y.rank - 1, shape, {to, from});
    const int64_t bytes = x.block_bytes;
    shaders::GatherRowsParams p{};
    p.x = vk::address(&x);
    p.indices = vk::address(&indices);
    p.y = vk::address(&y);
    p.n = static_cast<uint32_t>(elements(y));
    p.row_elems = static_cast<uint32_t>(elements(y, 1));
    p.rows_x = static_cast<uint32_t>(x.shape[1]);
    p.batch_x = x.shape[0] == 1 ? 0 : static_cast<uint32_t>(x.stride_bytes[0] / bytes);
    p.row_x = x.shape[1] == 1 ? 0 : static_cast<uint32_t>(x.stride_bytes[1] / bytes);
    p.step_indices = indices.shape[0] == 1 ? 0 : static_cast<uint32_t>(indices.stride_bytes[0] / indices.block_bytes);
    p.fault = vk::fault(run, gather_rows_refusal("{value}", x.shape[1]));
    put_extents(loop, p.extent);
    put_strides(loop, 1, bytes, p.stride_x);
    return vk::dispatch(run, shader_of(x.block_bytes), {axes_of(loop), indices.type == ORR_TYPE_I64}, p, groups_of(p.n));
}

orr_status run(const orr_run* run) {
    return guard(run->host, [&] { return record(run); });
}

}  // namespace

const KernelDef kGatherRowsVulkan = {"vulkan", "vulkan", 0, supports, nullptr, run};

}  // namespace orrery::core
