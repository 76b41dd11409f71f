// y[.., e] = scale * table[ids[..], e]
// ids [..] i32 | i64, at equal distances    table [V, E] any float or block type, packed as products want it (a tied head shares it)    y [.., E] f32
// Device half: shaders/core/embedding/embedding.comp
#include "core/embedding/params.h"
#include "embedding_shaders.hpp"
#include "ops/embedding/embedding.hpp"
#include "orrery/vulkan.hpp"
#include "vulkan_linear/tiles.hpp"

namespace orrery::core {
namespace {

// Elements from one id to the next; 0 where they lie at uneven distances.
uint32_t ids_step(const orr_tensor& ids) {
    int64_t step = 0, expect = 0;
    for (int32_t axis = ids.rank - 1; axis >= 0; --axis) {
        if (ids.shape[axis] == 1) continue;
        if (expect && ids.stride_bytes[axis] != expect) return 0;
        if (!expect) step = ids.stride_bytes[axis];
        expect = ids.stride_bytes[axis] * ids.shape[axis];
    }
    if (step < 0 || step % ids.block_bytes) return 0;
    return step ? static_cast<uint32_t>(step / ids.block_bytes) : 1;
}

bool supports(const orr_prepare* p, char* reason, size_t size) {
    const orr_tensor& table = *p->inputs[kEmbeddingTable];
    if (!ids_step(*p->inputs[kEmbeddingIds])) return refuse(reason, size, "the ids lie at uneven distances");
    if (!vk::can_pack(table, false, reason, size)) return false;
    return vk::can_run(vk::device(p), shaders::embedding, reason, size);
}

orr_status prepare(orr_prepare* p) {
    return guard(p->host, [&] {
        p->variant(p, "plain");
        return vk::pack_tiles(p, kEmbeddingTable, vk::describe_tiles(*p->inputs[kEmbeddingTable], false), false);
    });
}

orr_status record(const orr_run* run) {
    const orr_tensor &ids = *run->inputs[kEmbeddingIds], &table = *run->inputs[kEmbeddingTable];
    const vk::Tiles tiles = vk::describe_tiles(table, false);
    shaders::EmbeddingParams p{};
    p.ids = vk::address(&ids);
    p.table = vk::address(&table);
    p.y = vk::address(run->outputs[0]);
    p.fault = vk::fault(run, embedding_refusal("{value}", "{place}", table.shape[0]));
    p.count = static_cast<uint32_t>(elements(ids));
    p.ids_step = ids_step(ids);
    p.wide = ids.type == ORR_TYPE_I64;
    p.rows = static_cast<uint32_t>(tiles.rows);
    p.cols = static_cast<uint32_t>(tiles.cols);
    p.scale = static_cast<float>(run->attrs->get_float(run->attrs, "scale"));
    const uint64_t groups = p.count * vk::divide_up(tiles.blocks() * 8u, 256);
    return vk::dispatch(run, shaders::embedding, {tiles.type}, p, vk::groups(groups));
}

orr_status run(const orr_run* run) {
    return guard(run->host, [&] { return record(run); });
}

}  // namespace

const KernelDef kEmbeddingVulkan = {"vulkan", "vulkan", 0, supports, prepare, run};

}  // namespace orrery::core
