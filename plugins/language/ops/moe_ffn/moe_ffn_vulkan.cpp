// y[t] = sum_j weights[t, j] down[e] (act(gate[e] x[t]) * (up[e] x[t])),  e = ids[t, j]
// The experts are chosen in the shaders, so routing stays on the device. A few tokens (few.comp): each pair of token and expert by itself. More: pairs
// are sorted by expert (sort.comp), an expert's weights are read once for up to 64 (grouped.comp), and the choices of a token are added up in
// order (sum.comp). f32 throughout.
#include <algorithm>

#include "language/moe_ffn/params.h"
#include "moe_ffn_shaders.hpp"
#include "ops/moe_ffn/moe_ffn.hpp"
#include "orrery/vulkan.hpp"
#include "vulkan_linear/tiles.hpp"

namespace orrery::language {
namespace {

constexpr int64_t kFewTokens = 16;        // of a sequence: what one computes does not depend on how many there are
constexpr uint64_t kSide = 64;            // pairs and weight rows of a workgroup
constexpr uint64_t kMostExperts = 2048;   // that sort.comp counts

struct Sizes {
    uint64_t tokens, top_k, experts, width, features;
    bool grouped;

    explicit Sizes(const orr_tensor* const* inputs) {
        const orr_tensor &ids = *inputs[kMoeIds], &gate = *inputs[kMoeGate];
        const auto n = [](int64_t v) { return static_cast<uint64_t>(v); };
        top_k = n(ids.shape[ids.rank - 1]), experts = n(gate.shape[0]), features = n(gate.shape[1]), width = n(gate.shape[2]);
        const orr_tensor& x = *inputs[kMoeX];
        tokens = n(vk::rows(x));
        grouped = x.rank > 1 && x.shape[x.rank - 2] > kFewTokens && experts <= kMostExperts;
    }
    uint64_t pairs() const { return tokens * top_k; }
    uint64_t tiles() const { return vk::divide_up(pairs(), kSide) + std::min(experts, pairs()); }  // at most
    // Parts of the workspace, in this order.
    uint64_t hidden_bytes() const { return vk::divide_up(pairs() * features * 4, 256) * 256; }
    uint64_t partial_bytes() const { return grouped ? vk::divide_up(pairs() * width * 4, 256) * 256 : 0; }
    uint64_t tile_bytes() const { return grouped ? vk::divide_up((1 + 3 * tiles()) * 4, 256) * 256 : 0; }
    uint64_t order_bytes() const { return grouped ? pairs() * 4 : 0; }
    uint64_t workspace() const { return hidden_bytes() + partial_bytes() + tile_bytes() + order_bytes(); }
};

bool supports(const orr_prepare* p, char* reason, size_t size) {
    for (const uint32_t i : {kMoeX, kMoeIds, kMoeWeights}) {
        const orr_tensor& t = *p->inputs[i];
        if (*t.layout || !is_contiguous(t)) return refuse(reason, size, std::string(i == kMoeX ? "x" : i == kMoeIds ? "ids" : "weights") + " is not contiguous");
    }
    for (const uint32_t i : {kMoeGate, kMoeUp, kMoeDown}) {
        if (!vk::can_pack(*p->inputs[i], false, reason, size)) return false;
        if (elements(*p->inputs[i]) == 0) return refuse(reason, size, "weights without elements");
    }
    const Sizes s(p->inputs);
    if (s.top_k == 0) return refuse(reason, size, "no experts to a token");
    const uint64_t most = std::max({s.hidden_bytes(), s.partial_bytes(), s.tokens * s.width * 4});
    if (most >> 32) return refuse(reason, size, "needs " + std::to_string(most) + " bytes for activations, the shader reaches 4 GiB");
    return vk::can_run(vk::device(p), s.grouped ? shaders::moe_ffn_grouped_hidden : shaders::moe_ffn_hidden, reason, size);
}

// Types of the three weights, whose packed form no longer tells them.
struct Plan {
    uint32_t gate, up, down;
};

orr_status prepare(orr_prepare* p) {
    return guard(p->host, [&]() -> orr_status {
        auto* plan = static_cast<Plan*>(p->plan_memory(p, sizeof(Plan)));
        if (!plan) return ORR_OUT_OF_MEMORY;
        const std::pair<uint32_t, uint32_t*> weights[] = {{kMoeGate, &plan->gate}, {kMoeUp, &plan->up}, {kMoeDown, &plan->down}};
        for (const auto& [input, type] : weights) {
            const vk::Tiles tiles = vk::describe_tiles(*p->inputs[input], false);
            *type = tiles.type;
            if (const orr_status status = vk::pack_tiles(p, input, tiles, false); status != ORR_OK) return status;
        }
        const Sizes sizes(p->inputs);
        p->variant(p, sizes.grouped ? "grouped" : "few");
        p->workspace(p, sizes.workspace());
        return ORR_OK;
    });
}

shaders::MoeFfnParams parameters(const orr_run* run, const Sizes& s) {
    shaders::MoeFfnParams p{};
    p.x = vk::address(run->inputs[kMoeX]);
    p.ids = vk::address(run->inputs[kMoeIds]);
    p.weights = vk::address(run->inputs[kMoeWeights]);
    p.gate = vk::address(run->inputs[kMoeGate]);
    p.up = vk::address(run->inputs[kMoeUp]);
    p.down = vk::address(run->inputs[kMoeDown]);
    p.y = vk::address(run->outputs[0]);
    p.h = vk::recorder(run).workspace;
    p.partial = p.h + s.hidden_bytes();
    p.tiles = p.partial + s.partial_bytes();
    p.order = p.tiles + s.tile_bytes();
    p.fault = vk::fault(run, expert_refusal("{value}", "{place}", run->inputs[kMoeGate]->shape[0]));
    p.tokens = static_cast<uint32_t>(s.tokens), p.top_k = static_cast<uint32_t>(s.top_k), p.experts = static_cast<uint32_t>(s.experts);
    p.E = static_cast<uint32_t>(s.width), p.F = static_cast<uint32_t>(s.features);
    return p;
}

orr_status run(const orr_run* run) {
    return guard(run->host, [&]() -> orr_status {
        const Plan& plan = *static_cast<const Plan*>(run->data);
        const Sizes s(run->inputs);
        if (s.tokens == 0) return ORR_OK;
        const shaders::MoeFfnParams p = parameters(run, s);
        const auto act = static_cast<uint32_t>(moe_activation(run->attrs));
        bool first = true;
        const auto then = [&](const orr_vulkan_shader& shader, uint32_t type0, uint32_t type1, uint64_t groups) {
            if (!first) vk::recorder(run).barrier(&vk::recorder(run));
            first = false;
            return vk::dispatch(run, shader, {type0, type1, act}, p, vk::groups(groups));
        };
        orr_status status = ORR_OK;
        if (!s.grouped) {
            status = then(shaders::moe_ffn_hidden, plan.gate, plan.up, s.pairs() * vk::divide_up(s.features, 32));
            return status != ORR_OK ? status : then(shaders::moe_ffn_down, plan.down, 0, s.tokens * vk::divide_up(s.width, 32));
        }
        if (status = then(shaders::moe_ffn_sort, 0, 0, 1); status != ORR_OK) return status;
        if (status = then(shaders::moe_ffn_grouped_hidden, plan.gate, plan.up, s.tiles() * vk::divide_up(s.features, kSide)); status != ORR_OK) return status;
        if (status = then(shaders::moe_ffn_grouped_down, plan.down, 0, s.tiles() * vk::divide_up(s.width, kSide)); status != ORR_OK) return status;
        return then(shaders::moe_ffn_sum, 0, 0, vk::divide_up(s.tokens * s.width, 256));
    });
}

}  // namespace

const KernelDef kMoeVulkan = {"vulkan", "vulkan", 0, supports, prepare, run, moe_ffn_self_test};

}  // namespace orrery::language
