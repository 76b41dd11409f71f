// (token, expert) pairs are sorted by expert; each expert in use multiplies its rows, gathered by index. A token's experts are added in the
// order of ids, so the grouping never shows in the bits.
#include <algorithm>

#include "common/expert_pairs.hpp"
#include "linear/reference.hpp"
#include "ops/moe_ffn/moe_ffn.hpp"

namespace orrery::language {
namespace {

constexpr int64_t kPairBytes = 32 << 20;  // bound of the intermediate rows: more tokens are taken in turns
constexpr int64_t kScratchTokens = 192;   // rows of `up` that a thread holds at once

struct Plan {
    linear::Weight gate, up, down;
    flt::Activation activation;
    int64_t tokens, turn, k;  // turn: tokens taken at once
    // Parts of the workspace.
    uint64_t x_rows, h_rows, h, partial, lists, scratch, scratch_bytes;

    bool quantised(const linear::Weight& w) const { return w.method == linear::Method::kInt8; }
};

bool supports(const orr_prepare* p, char* reason, size_t size) {
    for (const uint32_t i : {kMoeX, kMoeIds, kMoeWeights}) {
        const orr_tensor& t = *p->inputs[i];
        if (*t.layout || !is_contiguous(t)) return refuse(reason, size, std::string(i == kMoeX ? "x" : i == kMoeIds ? "ids" : "weights") + " is not contiguous");
    }
    for (const uint32_t i : {kMoeGate, kMoeUp, kMoeDown}) {
        if (!linear::weight_fits(*p->inputs[i], false, reason, size)) return false;
        if (elements(*p->inputs[i]) == 0) return refuse(reason, size, "weights without elements");
    }
    return true;
}

// The pieces that several experts share are products of single tiles, so f32 stacks take the packed f32 kernels.
linear::Weight describe(const orr_prepare* p, uint32_t input) {
    linear::Weight w = linear::describe_weight(p, *p->inputs[input], false);
    if (w.method == linear::Method::kGemm) w.method = linear::Method::kF32;
    return w;
}

uint64_t plan_workspace(Plan* plan, uint32_t threads) {
    const int64_t width = plan->gate.cols, features = plan->gate.rows, pairs = plan->turn * plan->k;
    uint64_t at = 0;
    auto take = [&](int64_t bytes) {
        const uint64_t begin = at;
        at += linear::aligned(bytes);
        return begin;
    };
    const bool x_int8 = plan->quantised(plan->gate) || plan->quantised(plan->up);
    plan->x_rows = take(x_int8 ? quant::QuantisedRows::bytes(plan->turn, width) : 0);
    plan->h_rows = take(plan->quantised(plan->down) ? quant::QuantisedRows::bytes(pairs, features) : 0);
    plan->h = take(pairs * features * 4);
    plan->partial = take(pairs * width * 4);
    plan->lists = take(list_bytes(pairs, plan->gate.stack));
    plan->scratch_bytes = linear::aligned(std::min(kScratchTokens, pairs) * kMostTiles * quant::kTileRows * 4);
    plan->scratch = at;
    return at + plan->scratch_bytes * threads;
}

orr_status prepare(orr_prepare* p) {
    return guard(p->host, [&]() -> orr_status {
        Plan* plan = static_cast<Plan*>(p->plan_memory(p, sizeof(Plan)));
        if (!plan) return ORR_OUT_OF_MEMORY;
        plan->gate = describe(p, kMoeGate);
        plan->up = describe(p, kMoeUp);
        plan->down = describe(p, kMoeDown);
        plan->activation = moe_activation(p->attrs);
        const orr_tensor& ids = *p->inputs[kMoeIds];
        plan->k = ids.shape[ids.rank - 1];
        plan->tokens = linear::row_count(*p->inputs[kMoeX]);
        const int64_t token_bytes = std::max<int64_t>(1, plan->k * (plan->gate.rows + plan->gate.cols) * 4);
        plan->turn = std::min(plan->tokens, std::max<int64_t>(1, kPairBytes / token_bytes));
        p->workspace(p, plan_workspace(plan, p->threads));
        p->variant(p, plan->gate.variant());
        const std::pair<uint32_t, linear::Weight*> weights[] = {{kMoeGate, &plan->gate}, {kMoeUp, &plan->up}, {kMoeDown, &plan->down}};
        for (const auto& [input, weight] : weights) {
            const orr_status status = linear::pack_weight(p, input, *weight, false);
            if (status != ORR_OK) return status;
        }
        return ORR_OK;
    });
}

// h[p] = act(gate x) * (up x)
void run_hidden(const orr_run* run, const Plan& plan, const Pairs& pairs, const linear::Rows& x, float* h, bool small) {
    uint8_t* scratch = static_cast<uint8_t*>(run->workspace) + plan.scratch;
    const int64_t features = plan.gate.rows;
    const flt::VectorKernels& kernels = flt::vector_kernels(plan.gate.float_isa);
    for_experts(run, pairs, plan.gate.tiles(), small,
                [&](int64_t expert, int64_t begin, int64_t end, int64_t tile_begin, int64_t tile_end, uint32_t thread) {
                    const int64_t column = tile_begin * quant::kTileRows;
                    const int64_t columns = std::min(tile_end * quant::kTileRows, features) - column;
                    const int64_t stride = kMostTiles * quant::kTileRows;
                    float* up = reinterpret_cast<float*>(scratch + thread * plan.scratch_bytes);
                    for (int64_t first = begin; first < end; first += kScratchTokens) {
                        const int64_t last = std::min(first + kScratchTokens, end);
                        linear::multiply(plan.gate, run->inputs[kMoeGate]->data, expert, x, pairs.row, first, last, tile_begin, tile_end,
                                         {h, features, nullptr});
                        linear::multiply(plan.up, run->inputs[kMoeUp]->data, expert, x, pairs.row, first, last, tile_begin, tile_end,
                                         {up - first * stride - column, stride, nullptr});
                        for (int64_t p = first; p < last; ++p) {
                            float* dst = h + p * features + column;
                            kernels.gated(plan.activation, dst, up + (p - first) * stride, dst, columns);
                        }
                    }
                });
}

void run_turn(const orr_run* run, const Plan& plan, int64_t token, int64_t tokens) {
    uint8_t* workspace = static_cast<uint8_t*>(run->workspace);
    const int64_t width = plan.gate.cols, features = plan.gate.rows, count = tokens * plan.k;
    Pairs pairs = lists_of(workspace + plan.lists, plan.turn * plan.k, plan.gate.stack);
    sort_pairs(data<int32_t>(run->inputs[kMoeIds]) + token * plan.k, count, plan.k, plan.gate.stack, &pairs);
    const bool small = count * width * features < 65536;

    linear::Rows x{data<float>(run->inputs[kMoeX]) + token * width, width, {}};
    if (plan.quantised(plan.gate) || plan.quantised(plan.up)) {
        x.q = quant::QuantisedRows::view(workspace + plan.x_rows, plan.turn, width);
        linear::quantise(run, x.x, width, tokens, x.q, plan.gate.isa);
    }
    linear::Rows hidden{reinterpret_cast<float*>(workspace + plan.h), features, {}};
    run_hidden(run, plan, pairs, x, const_cast<float*>(hidden.x), small);

    if (plan.quantised(plan.down)) {
        hidden.q = quant::QuantisedRows::view(workspace + plan.h_rows, plan.turn * plan.k, features);
        linear::quantise(run, hidden.x, features, count, hidden.q, plan.down.isa);
    }
    float* partial = reinterpret_cast<float*>(workspace + plan.partial);
    for_experts(run, pairs, plan.down.tiles(), small,
                [&](int64_t expert, int64_t begin, int64_t end, int64_t tile_begin, int64_t tile_end, uint32_t) {
                    linear::multiply(plan.down, run->inputs[kMoeDown]->data, expert, hidden, nullptr, begin, end, tile_begin, tile_end,
                                     {partial, width, nullptr});
                });

    const float* weights = data<float>(run->inputs[kMoeWeights]) + token * plan.k;
    float* y = data<float>(run->outputs[0]) + token * width;
    linear::for_chunks(run, tokens, count * width < 65536, [&](int64_t t, uint32_t) {
        float* dst = y + t * width;
        std::fill_n(dst, width, 0.0f);
        for (int64_t j = 0; j < plan.k; ++j) {
            const float* src = partial + pairs.place[t * plan.k + j] * width;
            const float weight = weights[t * plan.k + j];
            for (int64_t e = 0; e < width; ++e) dst[e] += weight * src[e];
        }
    });
}

orr_status run(const orr_run* run) {
    return guard(run->host, [&] {
        const Plan& plan = *static_cast<const Plan*>(run->data);
        const int32_t* ids = data<int32_t>(run->inputs[kMoeIds]);
        for (int64_t i = 0; i < plan.tokens * plan.k; ++i) check_expert(ids[i], i, plan.gate.stack);
        if (plan.k == 0) std::fill_n(data<float>(run->outputs[0]), plan.tokens * plan.gate.cols, 0.0f);
        if (plan.k == 0) return;
        for (int64_t t = 0; t < plan.tokens; t += plan.turn) run_turn(run, plan, t, std::min(plan.turn, plan.tokens - t));
    });
}

}  // namespace

const KernelDef kMoeCpu = {"cpu", "cpu", 0, supports, prepare, run};

}  // namespace orrery::language
