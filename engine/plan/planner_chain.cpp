// Chains of elementwise operators on a device: one formula, one dispatch.
#include "engine/plan/expression.hpp"
#include "engine/plan/planner.hpp"

namespace orrery {

bool Planner::has_formula(const NodeDef& node) const {
    const orr_formula* formula = registry_.formula(*node.op);
    if (!formula) return false;
    ExpressionBuilder builder;
    std::vector<uint32_t> inputs;
    for (size_t i = 0; i < node.ins.size(); i++) inputs.push_back(builder.input(static_cast<uint32_t>(i)));
    return ask_plugin([&] { return builder.tell(*formula, node.attrs.table(), inputs); }, [&] { return where() + ": the formula of " + node.op->id; }) != 0;
}

// False, and nothing changed, when the device does not take it as one.
bool Planner::plan_device_chain(const std::vector<size_t>& members) {
    ExpressionBuilder builder;
    std::vector<orr_value> externals;
    std::map<orr_value, uint32_t> terms;
    std::vector<const orr_tensor*> ins;
    std::vector<std::string> ops;
    for (const size_t m : members) {
        const NodeDef& node = g_.nodes[m];
        std::vector<uint32_t> inputs;
        for (size_t i = 0; i < node.ins.size(); i++) {
            const orr_value v = node.ins[i];
            if (!terms.count(v)) {
                ins.push_back(input_tensor(node, i, v));
                terms[v] = builder.input(static_cast<uint32_t>(externals.size()));
                externals.push_back(v);
            }
            inputs.push_back(terms.at(v));
        }
        terms[node.outs[0]] = ask_plugin([&] { return builder.tell(*registry_.formula(*node.op), node.attrs.table(), inputs); }, [&] { return where() + ": the formula of " + node.op->id; });
        if (terms.at(node.outs[0]) == 0) return false;
        ops.emplace_back(node.op->id);
    }
    const orr_value out = g_.nodes[members.back()].outs[0];
    const std::string& label = g_.values[out].name;
    orr_tensor* dst = new_tensor(ORR_TYPE_F32, bound_shape(g_.values[out].dims), plain_, "elementwise chain");
    auto expression = std::make_shared<Expression>(builder.take(terms.at(out)));
    for (const orr_tensor* t : ins)
        if (t->type != ORR_TYPE_F32 || t->layout != plain_) return false;
    std::string reason;
    if (!options_.device->takes_chain(*expression, ins, *dst, reason)) {
        host_->log(host_, ORR_LOG_DEBUG, (where() + ": chain to " + label + " runs step by step: " + reason).c_str());
        return false;
    }
    PlanStep step;
    step.kind = PlanStep::Kind::chain;
    step.on_device = true;
    step.region = region_;
    step.label = label;
    step.ins = ins;
    step.outs = {dst};
    step.chain_ops = std::move(ops);
    step.expression = std::move(expression);
    try {
        place_constants(step);
    } catch (const Error& e) {
        if (e.code() != ORR_OUT_OF_MEMORY) throw;
        return false;
    }
    for (const orr_tensor*& t : step.ins) t = on_side(t, true, label);
    values_[out].tensor = dst;
    const size_t at = plan_->steps_.size();
    for (const orr_tensor* t : step.ins) touch_last(t, at);
    own(dst, at, true);
    plan_->steps_.push_back(std::move(step));
    return true;
}

}  // namespace orrery
