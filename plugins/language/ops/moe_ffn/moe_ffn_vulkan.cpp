// y[t] = sum_j weights[t, j] down[e] (act(gate[e] x[t]) * (up[e] x[t])),  e = ids[t, j]
// Two dispatches; the experts are chosen in the shader, so routing stays on the device. f32 throughout. Device half: shaders/language/moe_ffn/moe_ffn.comp
#include "language/moe_ffn/params.h"
#include "moe_ffn_shaders.hpp"
#include "ops/moe_ffn/moe_ffn.hpp"
#include "orrery/vulkan.hpp"
#include "vulkan_linear/tiles.hpp"

namespace orrery::language {
namespace {

struct Sizes {
    uint64_t tokens, top_k, experts, width, features;

    explicit Sizes(const orr_tensor* const* inputs) {
        const orr_tensor &ids = *inputs[kMoeIds], &gate = *inputs[kMoeGate];
        const auto n = [](int64_t v) { return static_cast<uint64_t>(v); };
        top_k = n(ids.shape[ids.rank - 1]), experts = n(gate.shape[0]), features = n(gate.shape[1]), width = n(gate.shape[2]);
        tokens = n(vk::rows(*inputs[kMoeX]));
    }
    uint64_t hidden_bytes() const { return tokens * top_k * features * 4; }
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
    const uint64_t most = std::max(s.hidden_bytes(), s.tokens * s.width * 4);
    if (most >> 32) return refuse(reason, size, "needs " + std::to_string(most) + " bytes for activations, the shader reaches 4 GiB");
    return vk::can_run(vk::device(p), shaders::moe_ffn_hidden, reason, size) && vk::can_run(vk::device(p), shaders::moe_ffn_down, reason, size);
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
        p->workspace(p, Sizes(p->inputs).hidden_bytes());
        return ORR_OK;
    });
}

orr_status run(const orr_run* run) {
    return guard(run->host, [&]() -> orr_status {
        const Plan& plan = *static_cast<const Plan*>(run->data);
        const Sizes s(run->inputs);
        if (s.tokens == 0) return ORR_OK;
        shaders::MoeFfnParams p{};
        p.x = vk::address(run->inputs[kMoeX]);
        p.ids = vk::address(run->inputs[kMoeIds]);
        p.weights = vk::address(run->inputs[kMoeWeights]);
        p.gate = vk::address(run->inputs[kMoeGate]);
        p.up = vk::address(run->inputs[kMoeUp]);
        p.down = vk::address(run->inputs[kMoeDown]);
        p.h = vk::recorder(run).workspace;
        p.y = vk::address(run->outputs[0]);
        p.tokens = static_cast<uint32_t>(s.tokens), p.top_k = static_cast<uint32_t>(s.top_k), p.experts = static_cast<uint32_t>(s.experts);
        p.E = static_cast<uint32_t>(s.width), p.F = static_cast<uint32_t>(s.features);
        const auto act = static_cast<uint32_t>(moe_activation(run->attrs));
        const orr_status status = vk::dispatch(run, shaders::moe_ffn_hidden, {plan.gate, plan.up, act}, p, vk::groups(s.tokens * s.top_k * vk::divide_up(s.features, 32)));
        if (status != ORR_OK) return status;
        vk::recorder(run).barrier(&vk::recorder(run));
        return vk::dispatch(run, shaders::moe_ffn_down, {plan.down, 0, act}, p, vk::groups(s.tokens * vk::divide_up(s.width, 32)));
    });
}

}  // namespace

const KernelDef kMoeVulkan = {"vulkan", "vulkan", 0, supports, prepare, run};

}  // namespace orrery::language
