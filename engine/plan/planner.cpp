// Binds a prepared program to shapes: which values there are, where they come from, which nodes run.
#include "engine/plan/planner.hpp"

namespace orrery {
namespace {
constexpr size_t kChainMostInputs = 16;
constexpr size_t kChainMostMembers = 64;
}

std::unique_ptr<Plan> Planner::make() {
    find_present();
    find_wanted();
    find_live();
    bind_sources();
    group_chains();
    plan_->regions_.resize(g_.regions.size());
    plan_->advance_ = g_.dims->evaluate(g_.advance, binding_.symbols);
    for (size_t n = 0; n < g_.nodes.size(); n++) {
        if (!live_[n]) continue;
        node_ = n;
        tell(0);
        const size_t first = plan_->steps_.size();
        plan_node(n);
        for (size_t i = first; i < plan_->steps_.size(); i++) plan_->steps_[i].group = g_.nodes[n].group;
        if (cancelled()) throw_cancelled();
    }
    region_ = 0;
    for (const auto& [name, v] : wanted_) {
        orr_tensor* t = values_[v].tensor;
        if (!t) {
            plan_->tensors_.push_back(weights_.tensor(g_.values[v].constant, false));
            t = &plan_->tensors_.back();
            t->data = const_cast<void*>(weights_.data(g_.values[v].constant));
            constants_[t] = g_.values[v].constant;
        }
        if (t->layout != plain_) throw Error(ORR_UNSUPPORTED, "output " + name + " is a state, not a tensor");
        const uint32_t region = region_of(t);
        if (!is_contiguous(*t)) t = add_copy(t, name);
        const bool stays = binding_.device_outputs.count(name) != 0;
        if (stays && region) throw Error(ORR_UNSUPPORTED, "output " + name + " may be left out (" + plan_->regions_[region].when + "): it cannot stay on the device");
        if (stays && constants_.count(t)) throw Error(ORR_UNSUPPORTED, "output " + name + " is a constant: it cannot stay on the device");
        t = const_cast<orr_tensor*>(on_side(t, stays, name));
        touch_last(t, kEnd);
        plan_->outputs_.push_back({name, t, stays, region, rows_left_out(v, region)});
    }
    if (g_.groups) form_waves();
    place_memory();
    finish_runs();
    return std::move(plan_);
}

// What tells, of an output with a row for each sequence, which of them its regions run for.
std::vector<PlanRows> Planner::rows_left_out(orr_value v, uint32_t region) {
    std::vector<PlanRows> found;
    for (uint32_t r = region; r; r = g_.regions[r].parent) {
        const orr_value rows = g_.regions[r].rows;
        const std::vector<orr_dim>& dims = g_.values[v].dims;
        if (!rows || dims.empty() || dims[0] != g_.values[rows].dims[0] || g_.values[rows].kind != ValueKind::node) continue;
        const orr_tensor* t = values_[rows].tensor;
        if (!t) throw Error(ORR_INTERNAL, where() + ": no tensor holds the rows of what runs " + plan_->regions_[r].when);
        if (!is_contiguous(*t)) t = add_copy(t, "rows");
        t = on_side(t, false, "rows");
        touch_last(t, kEnd);
        found.push_back({t, g_.regions[r].otherwise});
    }
    return found;
}

void Planner::find_present() {
    for (size_t v = 1; v < g_.values.size(); v++) {
        const ValueDef& def = g_.values[v];
        if (def.kind == ValueKind::input) {
            const InputDef& in = g_.inputs[def.index];
            values_[v].present = binding_.given.count(in.name) || in.positions || in.tap.part != TapInput::Part::none || (in.flags & (ORR_INPUT_FILL_ZERO | ORR_INPUT_FILL_ONE));
            if (!values_[v].present && !(in.flags & ORR_INPUT_OPTIONAL)) missing_.push_back(in.name);
        } else {
            values_[v].present = def.kind != ValueKind::node;
        }
    }
    for (const NodeDef& n : g_.nodes) {
        // Of a variadic tail at least one must be there.
        bool present = true, tail = false, tail_present = false;
        for (size_t i = 0; i < n.ins.size(); i++) {
            const bool here = n.ins[i] && values_[n.ins[i]].present;
            const uint32_t flags = input_port(*n.op, i).flags;
            if (flags & ORR_PORT_VARIADIC) tail = true, tail_present = tail_present || here;
            present = present && (here || (flags & (ORR_PORT_OPTIONAL | ORR_PORT_VARIADIC)));
        }
        present = present && (!tail || tail_present);
        for (const orr_value v : n.outs) values_[v].present = present;
    }
}

void Planner::find_wanted() {
    const auto need = [&](const std::string& name, orr_value v) {
        if (v == 0) throw Error(ORR_NOT_FOUND, where() + " has no output or value named " + name);
        if (!values_[v].present) {
            std::string text = "output " + name + " needs an input that was not given";
            if (!missing_.empty()) text = where() + ": input " + missing_[0] + " is missing";
            throw Error(ORR_INVALID_ARGUMENT, text);
        }
        wanted_.emplace_back(name, v);
    };
    if (binding_.wanted.empty()) {
        // An output that hangs on an optional input which is absent is left out, unless nothing would remain.
        for (const auto& o : g_.outputs)
            if (values_[o.value].present || (!missing_.empty() && !o.tapped)) need(o.name, o.value);  // an input that is not optional is not left out so
        if (wanted_.empty()) need(g_.outputs[0].name, g_.outputs[0].value);
    } else {
        for (const auto& name : binding_.wanted) need(name, g_.find(name));
        for (const auto& o : g_.outputs)
            if (o.tapped && values_[o.value].present && std::find(binding_.wanted.begin(), binding_.wanted.end(), o.name) == binding_.wanted.end()) need(o.name, o.value);
    }
}

void Planner::find_live() {
    live_.assign(g_.nodes.size(), false);
    for (const auto& [name, v] : wanted_) values_[v].needed = true;
    for (const auto& s : g_.states)
        if (s.next && values_[s.next].present) values_[s.next].needed = true;
    for (size_t n = g_.nodes.size(); n-- > 0;) {
        const NodeDef& node = g_.nodes[n];
        bool live = (node.op->traits & ORR_TRAIT_STATEFUL) != 0;
        bool present = true;
        for (const orr_value v : node.outs) live = live || values_[v].needed, present = present && values_[v].present;
        if (!live || !present) continue;
        live_[n] = true;
        for (uint32_t r = node.region; r; r = g_.regions[r].parent) values_[g_.regions[r].flag].needed = true;
        for (const orr_value v : node.ins)
            if (v) values_[v].needed = true;
    }
}

std::vector<int64_t> Planner::bound_shape(const std::vector<orr_dim>& dims) const {
    std::vector<int64_t> shape;
    for (const orr_dim d : dims) shape.push_back(g_.dims->evaluate(d, binding_.symbols));
    return shape;
}

bool Planner::read_behind(orr_value state, size_t node) const {
    for (; node < g_.nodes.size(); node++)
        if (live_[node] && std::count(g_.nodes[node].ins.begin(), g_.nodes[node].ins.end(), state)) return true;
    return false;
}

void Planner::bind_sources() {
    for (size_t v = 1; v < g_.values.size(); v++) {
        const ValueDef& def = g_.values[v];
        Bound& b = values_[v];
        if (!b.present || !b.needed) continue;
        if (def.kind == ValueKind::input) {
            const InputDef& in = g_.inputs[def.index];
            b.tensor = new_tensor(def.type, bound_shape(def.dims), plain_, "input " + in.name);
            own(b.tensor, 0);
            PlanInput p;
            p.name = in.name;
            p.given = binding_.given.count(in.name) != 0;
            p.imported = binding_.imported.count(in.name) != 0;
            p.positions = in.positions;
            p.fill = in.flags & ORR_INPUT_FILL_ZERO ? 0 : in.flags & ORR_INPUT_FILL_ONE ? 1 : -1;
            p.tap = in.tap;
            p.tensor = b.tensor;
            storages_[storage_of_[b.tensor]].input = plan_->inputs_.size();
            plan_->inputs_.push_back(p);
        } else if (def.kind == ValueKind::state) {
            const StateDef& s = g_.states[def.index];
            const auto shape = bound_shape(def.dims);
            const uint32_t type = s.kind == ORR_STATE_RECURRENT ? s.type : s.type ? s.type : options_.cache_type;
            const TypeInfo& info = registry_.type(type);
            if (s.dims.back() % info.block_elems)
                throw Error(ORR_UNSUPPORTED, "state " + s.name + " has width " + std::to_string(s.dims.back()) + ", cache type " + info.id + " needs a multiple of " + std::to_string(info.block_elems));
            b.tensor = new_tensor(type, shape, def.layout, "state " + s.name);
            PlanState p;
            p.state = def.index;
            p.append = g_.dims->evaluate(s.append, binding_.symbols);
            p.tensor = b.tensor;
            if (s.next) {
                p.next = new_tensor(type, shape, def.layout, "state " + s.name);
                next_tensors_[s.next] = p.next;
            }
            p.on_device = options_.device && !options_.host_states.count(s.name) && !read_behind(static_cast<orr_value>(v), device_nodes());
            for (const orr_tensor* t : {b.tensor, p.next})
                if (t) {
                    state_names_[t] = s.name;
                    if (p.on_device) device_states_.insert(t);
                }
            plan_->states_.push_back(p);
            plan_->batch_ = shape[0];
        }
    }
}

// Whether a node may be part of a chain: f32 throughout; on the processor inputs of one shape, on a device any that broadcast.
bool Planner::can_join(size_t n) const {
    const NodeDef& node = g_.nodes[n];
    if (!(node.op->traits & ORR_TRAIT_ELEMENTWISE) || !node.op->elementwise || node.outs.size() != 1 || node.ins.size() > kChainMostInputs) return false;
    const ValueDef& out = g_.values[node.outs[0]];
    if (out.type != ORR_TYPE_F32) return false;
    for (const orr_value v : node.ins) {
        if (!v || !values_[v].present) return false;
        const ValueDef& in = g_.values[v];
        if (in.type != ORR_TYPE_F32) return false;
        if (options_.device ? in.kind == ValueKind::state || in.dims.size() > out.dims.size() : in.kind == ValueKind::constant || in.dims.size() != out.dims.size()) return false;
        for (size_t k = 0; k < in.dims.size(); k++) {
            const int64_t extent = g_.dims->evaluate(in.dims[k], binding_.symbols);
            if (extent != g_.dims->evaluate(out.dims[out.dims.size() - in.dims.size() + k], binding_.symbols) && !(options_.device && extent == 1)) return false;
        }
    }
    return !options_.device || has_formula(node);
}

void Planner::group_chains() {
    chain_of_.assign(g_.nodes.size(), SIZE_MAX);
    if (options_.reference) return;
    std::vector<int> uses(g_.values.size(), 0);
    for (size_t n = 0; n < g_.nodes.size(); n++)
        if (live_[n])
            for (const orr_value v : g_.nodes[n].ins) uses[v]++;
    for (const auto& [name, v] : wanted_) uses[v] += 2;
    for (const auto& r : g_.regions) uses[r.flag] += 2, uses[r.rows] += 2;
    for (const auto& s : g_.states)
        if (s.next) uses[s.next] += 2;
    std::vector<size_t> producer(g_.values.size(), SIZE_MAX);
    for (size_t n = 0; n < g_.nodes.size(); n++)
        for (const orr_value v : g_.nodes[n].outs) producer[v] = n;
    for (size_t n = 0; n < g_.nodes.size(); n++) {
        if (!live_[n] || !can_join(n)) continue;
        const std::vector<int64_t> shape = bound_shape(g_.values[g_.nodes[n].outs[0]].dims);
        std::vector<size_t> members;
        const std::vector<orr_value>& ins = g_.nodes[n].ins;
        for (const orr_value v : ins) {
            const size_t p = producer[v];
            if (p == SIZE_MAX || g_.nodes[p].region != g_.nodes[n].region || uses[v] != std::count(ins.begin(), ins.end(), v) || !live_[p] || !can_join(p)) continue;
            if (bound_shape(g_.values[v].dims) != shape) continue;  // what is broadcast is not computed again for each
            if (const auto it = chains_.find(p); it != chains_.end() && members.size() + it->second.size() < kChainMostMembers) {
                members.insert(members.end(), it->second.begin(), it->second.end());
                chains_.erase(it);
            }
        }
        members.push_back(n);
        std::sort(members.begin(), members.end());
        chains_[n] = members;
    }
    for (auto it = chains_.begin(); it != chains_.end();) {
        if (it->second.size() < 2) {
            it = chains_.erase(it);
            continue;
        }
        for (const size_t m : it->second) chain_of_[m] = it->first;
        ++it;
    }
}

std::unique_ptr<Plan> make_plan(const orr_host* host, Registry& registry, const std::shared_ptr<Memory>& memory, Weights& weights,
                                std::shared_ptr<const PreparedProgram> program, const Binding& binding, const PlanOptions& options, std::shared_ptr<Team> team) {
    PlanOptions current = options;
    for (;;) {
        try {
            return Planner(host, registry, memory, weights, program, binding, current, team).make();
        } catch (const NeedsHostState& needs) {
            host->log(host, ORR_LOG_INFO, ("state " + needs.name + " stays in the host's memory: " + needs.why).c_str());
            current.host_states.insert(needs.name);
        }
    }
}

}  // namespace orrery
