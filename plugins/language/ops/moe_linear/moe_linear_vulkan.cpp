// y[t, j] = w[ids[t, j]] x[t] or w[ids[t, j]] x[t, j], each pair of row and expert by itself (pairs.comp), f32 throughout. Experts are chosen in the
// shader, so routing stays on the device.
#include <algorithm>

#include "language/moe_linear/params.h"
#include "moe_linear_shaders.hpp"
#include "ops/moe_linear/moe_linear.hpp"
#include "orrery/vulkan.hpp"
#include "vulkan_linear/tiles.hpp"

namespace orrery::language {
namespace {

bool supports(const orr_prepare* p, char* reason, size_t size) {
    for (const uint32_t i : {kMoeLinearX, kMoeLinearIds}) {
        const orr_tensor& t = *p->inputs[i];
        if (*t.layout || !is_contiguous(t)) return refuse(reason, size, std::string(i == kMoeLinearX ? "x" : "ids") + " is not contiguous");
    }
    const orr_tensor& w = *p->inputs[kMoeLinearWeight];
    if (!vk::can_pack(w, false, reason, size)) return false;
    if (elements(w) == 0) return refuse(reason, size, "weights without elements");
    const auto most = static_cast<uint64_t>(std::max(elements(*p->inputs[kMoeLinearX]), elements(*p->outputs[0]))) * 4;
    if (most >> 32) return refuse(reason, size, "needs " + std::to_string(most) + " bytes for activations, the shader reaches 4 GiB");
    return vk::can_run(vk::device(p), shaders::moe_linear_pairs, reason, size);
}

// Type of the weight, whose packed form no longer tells it.
struct Plan {
    uint32_t type;
};

orr_status prepare(orr_prepare* p) {
    return guard(p->host, [&]() -> orr_status {
        auto* plan = static_cast<Plan*>(p->plan_memory(p, sizeof(Plan)));
        if (!plan) return ORR_OUT_OF_MEMORY;
        const vk::Tiles tiles = vk::describe_tiles(*p->inputs[kMoeLinearWeight], false);
        plan->type = tiles.type;
        p->variant(p, "pairs");
        return vk::pack_tiles(p, kMoeLinearWeight, tiles, false);
    });
}

orr_status run(const orr_run* run) {
    return guard(run->host, [&]() -> orr_status {
        const Plan& plan = *static_cast<const Plan*>(run->data);
        const orr_tensor &x = *run->inputs[kMoeLinearX], &ids = *run->inputs[kMoeLinearIds], &w = *run->inputs[kMoeLinearWeight];
        const uint64_t pairs = static_cast<uint64_t>(elements(ids));
        if (pairs == 0) return ORR_OK;
        shaders::MoeLinearParams p{};
        p.x = vk::address(run->inputs[kMoeLinearX]);
        p.ids = vk::address(run->inputs[kMoeLinearIds]);
        p.w = vk::address(run->inputs[kMoeLinearWeight]);
        p.y = vk::address(run->outputs[0]);
        p.fault = vk::fault(run, linear_expert_refusal("{value}", "{place}", w.shape[0]));
        p.pairs = static_cast<uint32_t>(pairs);
        p.pairs_per_row = x.rank == ids.rank ? static_cast<uint32_t>(ids.shape[ids.rank - 1]) : 1;
        p.experts = static_cast<uint32_t>(w.shape[0]), p.N = static_cast<uint32_t>(w.shape[1]), p.K = static_cast<uint32_t>(w.shape[2]);
        return vk::dispatch(run, shaders::moe_linear_pairs, {plan.type}, p, vk::groups(pairs * vk::divide_up(p.N, 32)));
    });
}

// Fewer tokens, experts, columns and rows, the weight of the node's type.
bool self_test(const orr_prepare* node, uint32_t i, orr_self_test* test) {
    if (i > 0) return false;
    const orr_tensor &x = *node->inputs[kMoeLinearX], &ids = *node->inputs[kMoeLinearIds], &w = *node->inputs[kMoeLinearWeight];
    for (const uint32_t n : {kMoeLinearX, kMoeLinearIds})
        for (int32_t axis = 0; axis + 1 < ids.rank; ++axis)
            test->inputs[n]->shape[axis] = axis + 2 == ids.rank ? std::min<int64_t>(ids.shape[axis], 8) : 1;
    int64_t* const shape = test->inputs[kMoeLinearWeight]->shape;
    shape[0] = std::min<int64_t>(w.shape[0], 6), shape[1] = small_extent(w.shape[1], 256, 256), shape[2] = small_extent(w.shape[2], 512, 256);
    test->inputs[kMoeLinearX]->shape[x.rank - 1] = shape[2];
    test->inputs[kMoeLinearIds]->low = 0, test->inputs[kMoeLinearIds]->high = static_cast<double>(shape[0] - 1);
    return true;
}

}  // namespace

const KernelDef kMoeLinearVulkan = {"vulkan", "vulkan", 0, supports, prepare, run, self_test};

}  // namespace orrery::language
