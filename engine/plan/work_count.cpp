// What a run of a program takes: FLOPs as operators tell them, and the weights that they read.
#include "engine/plan/work_count.hpp"

#include "engine/plan/planner.hpp"

namespace orrery {

std::vector<Work> Planner::count() {
    find_present();
    find_wanted();
    find_live();
    std::vector<Work> work(g_.regions.size());
    const auto tensor = [&](orr_value v, const char* what) -> const orr_tensor* {
        if (!v || !values_[v].present) return nullptr;
        const ValueDef& def = g_.values[v];
        if (!values_[v].tensor) values_[v].tensor = new_tensor(def.type, bound_shape(def.dims), def.layout, what);
        return values_[v].tensor;
    };
    for (size_t n = 0; n < g_.nodes.size(); n++) {
        const NodeDef& node = g_.nodes[n];
        if (!live_[n] || !node.op->flops) continue;
        std::vector<const orr_tensor*> ins(std::max<size_t>(node.ins.size(), node.op->n_inputs), nullptr), outs;
        Work& of = work[node.region];
        for (size_t i = 0; i < node.ins.size(); i++) {
            ins[i] = tensor(node.ins[i], node.op->id);
            if (ins[i] && g_.values[node.ins[i]].kind == ValueKind::constant && g_.values[node.ins[i]].dims.size() > 1 && (input_port(*node.op, i).flags & ORR_PORT_WEIGHT))
                of.weight_bytes += g_.values[node.ins[i]].constant->bytes();
        }
        for (const orr_value v : node.outs) outs.push_back(tensor(v, node.op->id));
        const orr_prepare p = base_prepare(node, ins, outs);
        of.flops += static_cast<double>(ask_plugin([&] { return node.op->flops(&p); }, [&] { return where() + ": " + node.op->id; }));
    }
    return work;
}

std::vector<Work> count_work(const orr_host* host, Registry& registry, const std::shared_ptr<Memory>& memory, Weights& weights, std::shared_ptr<const PreparedProgram> program, const Binding& binding,
                             std::shared_ptr<Team> team) {
    // FLOPs are linear in the tokens that states hold.
    std::vector<Work> counts[2];
    for (const int64_t tokens : {1, 2}) {
        Binding bound = binding;
        bound.symbols["S"] = tokens;
        const PlanOptions options;
        counts[tokens - 1] = Planner(host, registry, memory, weights, program, bound, options, team).count();
    }
    for (size_t r = 0; r < counts[0].size(); r++) {
        counts[0][r].flops_per_token = counts[1][r].flops - counts[0][r].flops;
        counts[0][r].flops -= counts[0][r].flops_per_token;
    }
    return counts[0];
}

}  // namespace orrery
