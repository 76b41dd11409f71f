// The float library's rope, twice, and its append, twice; turned keys pass through the workspace.
#include "float/norm.hpp"
#include "ops/rope_append/rope_append.hpp"

namespace orrery::attention {
namespace {

struct Plan {
    flt::Isa isa;
    uint64_t views_bytes, position_bytes, key_bytes;  // parts of the workspace, in this order, rope's last
};

bool supports(const orr_prepare* p, char* reason, size_t size) {
    constexpr std::pair<uint32_t, const char*> kRows[] = {{kTurnQuery, "q"}, {kTurnKey, "k"}, {kTurnValue, "v"}, {kTurnFreq, "inv_freq"}, {kTurnLongFreq, "long_inv_freq"}};
    for (const auto& [port, name] : kRows)
        if (!flt::takes_rows(flt::input(p, port), name, reason, size)) return false;
    return flt::takes_rows(p->outputs[0], "y", reason, size) && takes_pages(*p->inputs[kTurnKeyState], "k_state", reason, size) &&
           takes_pages(*p->inputs[kTurnValueState], "v_state", reason, size);
}

orr_status prepare(orr_prepare* p) {
    return guard(p->host, [&]() -> orr_status {
        Plan* plan = flt::make_plan<Plan>(p);
        if (plan == nullptr) return ORR_OUT_OF_MEMORY;
        const auto bytes = [](int64_t n) { return static_cast<uint64_t>(flt::round_up(n, 64)); };
        plan->views_bytes = bytes(2 * p->inputs[kTurnKey]->shape[0] * static_cast<int64_t>(sizeof(flt::PagedView)));
        plan->position_bytes = bytes(elements(*p->inputs[kTurnPositions]) * 4);
        plan->key_bytes = bytes(elements(*p->inputs[kTurnKey]) * 4);
        p->workspace(p, plan->views_bytes + plan->position_bytes + plan->key_bytes + static_cast<uint64_t>(flt::rope_workspace_floats(p->inputs[kTurnFreq]->shape[0])) * 4 * p->threads);
        return ORR_OK;
    });
}

struct Heads {
    float* data;
    int64_t batch, token, head;  // floats between neighbours
};
Heads heads(const orr_tensor& t) { return {data<float>(&t), flt::stride(t, 0), flt::stride(t, 1), flt::stride(t, 2)}; }

void turn(const orr_run* run, flt::Isa isa, const orr_tensor& x, const Heads& y, const int32_t* positions, void* workspace) {
    const orr_attrs* a = run->attrs;
    const orr_tensor& freq = *run->inputs[kTurnFreq];
    const orr_tensor* far = flt::input(run, kTurnLongFreq);
    const Heads from = heads(x);
    const flt::RopeArgs args{x.shape[0], x.shape[1], x.shape[2], x.shape[3], freq.shape[0], from.data, from.batch, from.token, from.head, y.data, y.batch, y.token, y.head,
                             positions, x.shape[1], data<float>(&freq), static_cast<float>(a->get_float(a, "scale")), data<float>(far), static_cast<float>(a->get_float(a, "long_scale")),
                             a->get_int(a, "switch_length"), a->get_int(a, "interleaved") != 0};
    flt::rope(isa, args, workspace, flt::parallel_of(run));
}

void append(const orr_run* run, flt::Isa isa, const orr_tensor& state, const orr_tensor& shape, const Heads& x, flt::PagedView* views) {
    for (int64_t b = 0; b < shape.shape[0]; ++b) {
        const orr_paged& table = page_table(state, b);
        views[b] = {table.pages, table.past + shape.shape[1], table.first, table.page_tokens};
    }
    flt::AppendArgs args{shape.shape[0], shape.shape[1], shape.shape[2], shape.shape[3], x.data, x.batch, x.token, x.head, views, flt::KvType::f32};
    kv_type(state, &args.type);
    flt::cache_append(isa, args, flt::parallel_of(run));
}

orr_status run(const orr_run* run) {
    return guard(run->host, [&] {
        const Plan& plan = *static_cast<const Plan*>(run->data);
        const orr_tensor &q = *run->inputs[kTurnQuery], &k = *run->inputs[kTurnKey], &v = *run->inputs[kTurnValue], &positions = *run->inputs[kTurnPositions];
        check_states(run);
        auto* workspace = static_cast<char*>(run->workspace);
        auto* views = reinterpret_cast<flt::PagedView*>(workspace);
        auto* table = reinterpret_cast<int32_t*>(workspace + plan.views_bytes);
        auto* turned = reinterpret_cast<float*>(workspace + plan.views_bytes + plan.position_bytes);
        char* rest = workspace + plan.views_bytes + plan.position_bytes + plan.key_bytes;
        for (int64_t b = 0; b < q.shape[0]; ++b)
            for (int64_t t = 0; t < q.shape[1]; ++t) table[b * q.shape[1] + t] = static_cast<int32_t>(flt::number(positions, {b, t}));
        const int64_t width = k.shape[3], token = k.shape[2] * width;
        const Heads keys{turned, k.shape[1] * token, token, width};
        turn(run, plan.isa, q, heads(*run->outputs[0]), table, rest);
        turn(run, plan.isa, k, keys, table, rest);
        append(run, plan.isa, *run->inputs[kTurnKeyState], k, keys, views);
        append(run, plan.isa, *run->inputs[kTurnValueState], v, heads(v), views + k.shape[0]);
    });
}

}  // namespace

const KernelDef kRopeAppendCpu = {"cpu", "cpu", 0, supports, prepare, run};

}  // namespace orrery::attention
