// Pairs are sorted by expert; each expert in use multiplies its rows, gathered by index. The grouping never shows in the bits.
#include <algorithm>
#include <cstring>

#include "common/expert_pairs.hpp"
#include "linear/reference.hpp"
#include "ops/moe_linear/moe_linear.hpp"

namespace orrery::language {
namespace {

constexpr int64_t kPairBytes = 32 << 20;  // bound of the sorted rows: more tokens are taken in turns

struct Plan {
    linear::Weight w;
    int64_t tokens, turn, k;  // turn: tokens taken at once
    int64_t pairs_per_row;    // of x
    uint64_t x_rows, sorted, lists;

    bool quantised() const { return w.method == linear::Method::kInt8; }
};

bool supports(const orr_prepare* p, char* reason, size_t size) {
    for (const uint32_t i : {kMoeLinearX, kMoeLinearIds}) {
        const orr_tensor& t = *p->inputs[i];
        if (*t.layout || !is_contiguous(t)) return refuse(reason, size, std::string(i == kMoeLinearX ? "x" : "ids") + " is not contiguous");
    }
    if (!linear::weight_fits(*p->inputs[kMoeLinearWeight], false, reason, size)) return false;
    return elements(*p->inputs[kMoeLinearWeight]) > 0 || refuse(reason, size, "weights without elements");
}

orr_status prepare(orr_prepare* p) {
    return guard(p->host, [&]() -> orr_status {
        Plan* plan = static_cast<Plan*>(p->plan_memory(p, sizeof(Plan)));
        if (!plan) return ORR_OUT_OF_MEMORY;
        plan->w = linear::describe_weight(p, *p->inputs[kMoeLinearWeight], false);
        if (plan->w.method == linear::Method::kGemm) plan->w.method = linear::Method::kF32;  // pieces of single tiles
        const orr_tensor &x = *p->inputs[kMoeLinearX], &ids = *p->inputs[kMoeLinearIds];
        plan->k = ids.shape[ids.rank - 1];
        plan->tokens = linear::row_count(ids);
        plan->pairs_per_row = x.rank == ids.rank ? std::max<int64_t>(1, plan->k) : 1;
        const int64_t token_bytes = std::max<int64_t>(1, plan->k * (plan->w.rows + plan->w.cols) * 4);
        plan->turn = std::min(plan->tokens, std::max<int64_t>(1, kPairBytes / token_bytes));
        const int64_t pairs = plan->turn * plan->k;
        plan->x_rows = 0;
        plan->sorted = plan->quantised() ? linear::aligned(quant::QuantisedRows::bytes(pairs / plan->pairs_per_row, plan->w.cols)) : 0;
        plan->lists = plan->sorted + linear::aligned(pairs * plan->w.rows * 4);
        p->workspace(p, plan->lists + linear::aligned(list_bytes(pairs, plan->w.stack)));
        p->variant(p, plan->w.variant());
        return linear::pack_weight(p, kMoeLinearWeight, plan->w, false);
    });
}

void run_turn(const orr_run* run, const Plan& plan, int64_t token, int64_t tokens) {
    uint8_t* workspace = static_cast<uint8_t*>(run->workspace);
    const int64_t columns = plan.w.cols, rows = plan.w.rows, first = token * plan.k, count = tokens * plan.k;
    Pairs pairs = lists_of(workspace + plan.lists, plan.turn * plan.k, plan.w.stack);
    sort_pairs(data<int32_t>(run->inputs[kMoeLinearIds]) + first, count, plan.pairs_per_row, plan.w.stack, &pairs);
    const bool small = count * columns * rows < 65536;
    linear::Rows x{data<float>(run->inputs[kMoeLinearX]) + first / plan.pairs_per_row * columns, columns, {}};
    if (plan.quantised()) {
        x.q = quant::QuantisedRows::view(workspace + plan.x_rows, plan.turn * plan.k / plan.pairs_per_row, columns);
        linear::quantise(run, x.x, columns, count / plan.pairs_per_row, x.q, plan.w.isa);
    }
    float* sorted = reinterpret_cast<float*>(workspace + plan.sorted);
    for_experts(run, pairs, plan.w.tiles(), small, [&](int64_t expert, int64_t begin, int64_t end, int64_t tile_begin, int64_t tile_end, uint32_t) {
        linear::multiply(plan.w, run->inputs[kMoeLinearWeight]->data, expert, x, pairs.row, begin, end, tile_begin, tile_end,
                         {sorted, rows, nullptr});
    });
    float* y = data<float>(run->outputs[0]) + first * rows;
    linear::for_chunks(run, tokens, count * rows < 65536, [&](int64_t t, uint32_t) {
        for (int64_t j = t * plan.k; j < (t + 1) * plan.k; ++j)
            std::memcpy(y + j * rows, sorted + pairs.place[j] * rows, static_cast<size_t>(rows) * 4);
    });
}

orr_status run(const orr_run* run) {
    return guard(run->host, [&] {
        const Plan& plan = *static_cast<const Plan*>(run->data);
        const int32_t* ids = data<int32_t>(run->inputs[kMoeLinearIds]);
        for (int64_t i = 0; i < plan.tokens * plan.k; ++i) check_linear_expert(ids[i], i, plan.w.stack);
        if (plan.k == 0) return;
        for (int64_t t = 0; t < plan.tokens; t += plan.turn) run_turn(run, plan, t, std::min(plan.turn, plan.tokens - t));
    });
}

}  // namespace

const KernelDef kMoeLinearCpu = {"cpu", "cpu", 0, supports, prepare, run};

}  // namespace orrery::language
