#include "engine/graph/builder.hpp"

#include <algorithm>

#include "engine/registry/error_text.hpp"

namespace orrery {

GraphBuilder::GraphBuilder(const orr_host* host, Registry& registry, Weights& weights, std::string model, std::string entry)
    : host_(host), registry_(registry), weights_(weights) {
    graph_.model = std::move(model);
    graph_.entry = std::move(entry);
    table_.self = this;
    fill_table();
}

template <class T, class Fn>
T GraphBuilder::step(T otherwise, Fn&& fn) noexcept {
    if (failed_) return otherwise;
    try {
        return fn();
    } catch (const Error& e) {
        failed_ = true;
        failure_ = e;
    } catch (const std::exception& e) {
        failed_ = true;
        try {
            failure_ = Error(dynamic_cast<const std::bad_alloc*>(&e) ? ORR_OUT_OF_MEMORY : ORR_INTERNAL, e.what());
        } catch (...) {
        }
    }
    return otherwise;
}

Program GraphBuilder::finish() {
    if (failed_) throw failure_ ? *failure_ : Error(ORR_OUT_OF_MEMORY, "out of memory while the graph was built");
    if (open_.size() != 1) throw Error(ORR_INVALID_ARGUMENT, graph_.model + "." + graph_.entry + ": begin_if without end_if");
    if (concurrent_ != 0) throw Error(ORR_INVALID_ARGUMENT, graph_.model + "." + graph_.entry + ": begin_concurrent without end_concurrent");
    if (graph_.outputs.empty()) throw Error(ORR_INVALID_ARGUMENT, graph_.model + "." + graph_.entry + ": the model declares no output");
    for (const auto& s : graph_.states)
        if (s.kind == ORR_STATE_RECURRENT && s.next == 0) throw Error(ORR_INVALID_ARGUMENT, graph_.model + "." + graph_.entry + ": recurrent state " + s.name + " is never set");
    return std::move(graph_);
}

void GraphBuilder::require(orr_value v, const char* what) const {
    if (v == 0 || v >= graph_.values.size()) throw Error(ORR_INVALID_ARGUMENT, std::string(what) + ": value " + std::to_string(v) + " does not exist");
}

orr_value GraphBuilder::input(const std::string& name, uint32_t type, const std::vector<orr_dim>& dims, uint32_t flags, bool positions) {
    for (const auto& i : graph_.inputs)
        if (i.name == name) throw Error(ORR_CONFLICT, "input " + name + " is declared twice");
    if (registry_.type(type).type) throw Error(ORR_INVALID_ARGUMENT, "input " + name + ": block types cannot be inputs");
    ValueDef v;
    v.kind = ValueKind::input;
    v.index = static_cast<uint32_t>(graph_.inputs.size());
    v.name = name;
    v.type = type;
    v.dims = dims;
    v.layout = registry_.intern("");
    graph_.values.push_back(std::move(v));
    const auto id = static_cast<orr_value>(graph_.values.size() - 1);
    graph_.inputs.push_back({name, flags, positions, id, {}});
    return id;
}

orr_value GraphBuilder::constant(std::shared_ptr<Constant> c, const std::string& name) {
    ValueDef v;
    v.kind = ValueKind::constant;
    v.name = name;
    v.type = c->type();
    v.dims.assign(c->shape().begin(), c->shape().end());
    v.layout = registry_.intern("");
    v.constant = std::move(c);
    graph_.values.push_back(std::move(v));
    return static_cast<orr_value>(graph_.values.size() - 1);
}

orr_value GraphBuilder::state(const StateDef& def, orr_dim batch) {
    for (const auto& s : graph_.states)
        if (s.name == def.name) return s.value;
    const bool paged = def.kind != ORR_STATE_RECURRENT;
    if (def.kind < ORR_STATE_APPEND || def.kind > ORR_STATE_FROZEN) throw Error(ORR_INVALID_ARGUMENT, "state " + def.name + " has unknown kind " + std::to_string(def.kind));
    if (paged && def.dims.size() != 2) throw Error(ORR_INVALID_ARGUMENT, "state " + def.name + " has rank " + std::to_string(def.dims.size()) + ", append states have {heads, width}");
    for (const int64_t d : def.dims)
        if (d <= 0) throw Error(ORR_INVALID_ARGUMENT, "state " + def.name + " has shape " + shape_text(def.dims));
    ValueDef v;
    v.kind = ValueKind::state;
    v.index = static_cast<uint32_t>(graph_.states.size());
    v.name = def.name;
    v.type = paged ? static_cast<uint32_t>(ORR_TYPE_F32) : def.type;  // of paged states the session decides
    v.dims.push_back(batch);
    if (paged) v.dims.push_back(graph_.dims->symbol(def.kind == ORR_STATE_FROZEN ? "S_" + std::to_string(v.index) : "S"));
    v.dims.insert(v.dims.end(), def.dims.begin(), def.dims.end());
    v.layout = registry_.intern(paged ? ORR_LAYOUT_PAGED : ORR_LAYOUT_ROWS);
    graph_.values.push_back(std::move(v));
    graph_.states.push_back(def);
    return graph_.states.back().value = static_cast<orr_value>(graph_.values.size() - 1);
}

void GraphBuilder::set_state(const std::string& name, orr_value v) {
    require(v, "set_state");
    for (auto& s : graph_.states) {
        if (s.name != name) continue;
        const ValueDef& want = graph_.values[s.value];
        if (s.kind != ORR_STATE_RECURRENT) throw Error(ORR_INVALID_ARGUMENT, "state " + name + " is not recurrent");
        if (graph_.values[v].layout != want.layout || graph_.values[v].dims.size() != want.dims.size())
            throw Error(ORR_INVALID_ARGUMENT, "state " + name + " has shape " + graph_.shape_text(s.value) + ", what becomes of it " + graph_.shape_text(v));
        for (const NodeDef& n : graph_.nodes)
            if (n.region && std::find(n.outs.begin(), n.outs.end(), v) != n.outs.end()) throw Error(ORR_UNSUPPORTED, "state " + name + ": what becomes of it is made between begin_if and end_if");
        s.next = v;
        return;
    }
    throw Error(ORR_NOT_FOUND, "state " + name + " is not declared");
}

std::vector<orr_value> GraphBuilder::node(const std::string& op_id, const std::string& attrs, const std::vector<orr_value>& ins, size_t n_outs) {
    const orr_operator& op = registry_.find_operator(op_id);
    const std::string where = graph_.model + "." + graph_.entry;
    NodeDef node{&op, NodeAttrs(op, attrs), ins, {}};
    std::vector<bool> present;
    std::vector<orr_value_info> infos(ins.size());
    std::vector<const orr_value_info*> in_ptrs;
    std::string described;
    for (size_t i = 0; i < ins.size(); i++) {
        if (ins[i] >= graph_.values.size()) throw Error(ORR_INVALID_ARGUMENT, where + ": " + op_id + ": value " + std::to_string(ins[i]) + " does not exist");
        present.push_back(ins[i] != 0);
        if (ins[i]) infos[i] = value_info(graph_.values[ins[i]], registry_.type(graph_.values[ins[i]].type));
        in_ptrs.push_back(ins[i] ? &infos[i] : nullptr);
        if (ins[i]) described += (described.empty() ? "" : ", ") + graph_.values[ins[i]].name + " " + graph_.shape_text(ins[i]);
    }
    check_arity(op, present, n_outs, where);
    std::vector<orr_value_info> out_infos(n_outs);
    std::vector<orr_value_info*> out_ptrs;
    for (auto& o : out_infos) {
        o.header = ORR_HEADER(orr_value_info);
        o.layout = "";
        out_ptrs.push_back(&o);
    }
    try {
        infer_node(host_, op, node.attrs, graph_.dims->table(), in_ptrs, out_ptrs, where);
    } catch (const Error& e) {
        throw Error(e.code(), std::string(e.what()) + " (inputs: " + described + ")");
    }
    for (const auto& o : out_infos) {
        const TypeInfo& type = registry_.type(o.type);
        if (const int64_t row = o.rank ? o.dims[o.rank - 1] : 1; type.type && row >= 0 && row % type.block_elems)
            throw Error(ORR_INVALID_ARGUMENT, where + ": " + op_id + ": rows of " + std::to_string(row) + " are not whole blocks of " + std::to_string(type.block_elems) + ", as " + type.id + " has them (inputs: " + described + ")");
        ValueDef v;
        v.type = o.type;
        v.dims.assign(o.dims, o.dims + o.rank);
        v.layout = registry_.intern(o.layout ? o.layout : "");
        graph_.values.push_back(std::move(v));
        node.outs.push_back(static_cast<orr_value>(graph_.values.size() - 1));
    }
    const auto outs = node.outs;
    node.region = open_.back();
    node.group = group_;
    graph_.nodes.push_back(std::move(node));
    return outs;
}

void GraphBuilder::begin_if(orr_value flag, bool otherwise) {
    require(flag, "begin_if");
    const RegionDef wanted{flag, otherwise, open_.back()};
    const auto same = [&](const RegionDef& r) { return r.flag == flag && r.otherwise == otherwise && r.parent == wanted.parent; };
    const auto known = std::find_if(graph_.regions.begin() + 1, graph_.regions.end(), same);
    open_.push_back(static_cast<uint32_t>(known - graph_.regions.begin()));
    if (known == graph_.regions.end()) graph_.regions.push_back(wanted);
}

void GraphBuilder::end_if() {
    if (open_.size() < 2) throw Error(ORR_INVALID_ARGUMENT, graph_.model + "." + graph_.entry + ": end_if without begin_if");
    open_.pop_back();
}

void GraphBuilder::begin_concurrent() {
    if (concurrent_++ == 0 && group_ == 0) group_ = ++graph_.groups;
}

void GraphBuilder::end_concurrent() {
    if (concurrent_ == 0) throw Error(ORR_INVALID_ARGUMENT, graph_.model + "." + graph_.entry + ": end_concurrent without begin_concurrent");
    if (--concurrent_ == 0) group_ = entered_;
}

void GraphBuilder::name(orr_value v, const std::string& path) {
    require(v, "name");
    for (size_t i = 1; i < graph_.values.size(); i++)
        if (i != v && graph_.values[i].kind != ValueKind::state && graph_.values[i].name == path) throw Error(ORR_CONFLICT, "two values are named " + path);
    if (graph_.values[v].kind == ValueKind::node) graph_.values[v].name = path;
}

void GraphBuilder::output(const std::string& name, orr_value v) {
    require(v, "output");
    for (const auto& o : graph_.outputs)
        if (o.name == name) throw Error(ORR_CONFLICT, "output " + name + " is declared twice");
    graph_.outputs.push_back({name, v, false});
}

void GraphBuilder::fill_table() {
    orr_builder& t = table_.base;
    t = {};
    t.header = ORR_HEADER(orr_builder);
    t.host = host_;
    t.dims = graph_.dims->table();
    t.symbol = [](orr_builder* b, const char* name) { return of(b).step<orr_dim>(1, [&] { return of(b).graph_.dims->symbol(name); }); };
    t.input = [](orr_builder* b, const char* name, uint32_t type, int32_t rank, const orr_dim* dims, uint32_t flags) {
        return of(b).step<orr_value>(0, [&] { return of(b).input(name, type, {dims, dims + rank}, flags, false); });
    };
    t.positions = [](orr_builder* b, const char* name, orr_dim batch, orr_dim tokens) {
        return of(b).step<orr_value>(0, [&] { return of(b).input(name ? name : "(positions)", ORR_TYPE_I32, {batch, tokens}, ORR_INPUT_OPTIONAL, true); });
    };
    t.weight = [](orr_builder* b, const char* name, int32_t rank, const int64_t* shape) {
        return of(b).step<orr_value>(0, [&] { return of(b).constant(of(b).weights_.declare({name}, false, {shape, shape + rank}), name); });
    };
    t.weight_stack = [](orr_builder* b, uint32_t count, const char* const* names, int32_t rank, const int64_t* shape) {
        return of(b).step<orr_value>(0, [&] {
            if (count == 0) throw Error(ORR_INVALID_ARGUMENT, "weight_stack of no tensors");
            return of(b).constant(of(b).weights_.declare({names, names + count}, true, {shape, shape + rank}), names[0]);
        });
    };
    t.constant = [](orr_builder* b, const char* name, uint32_t type, int32_t rank, const int64_t* shape, const void* data) {
        return of(b).step<orr_value>(0, [&] { return of(b).constant(of(b).weights_.make(name, type, {shape, shape + rank}, data), name); });
    };
    t.state = [](orr_builder* b, const orr_state_desc* desc, orr_dim batch, orr_dim append) {
        return of(b).step<orr_value>(0, [&] {
            StateDef def;
            def.name = desc->name;
            def.kind = desc->kind;
            def.type = desc->type;
            def.dims.assign(desc->dims, desc->dims + desc->rank);
            def.window = desc->window;
            def.append = append;
            return of(b).state(def, batch);
        });
    };
    t.set_state = [](orr_builder* b, const char* name, orr_value v) {
        of(b).step(0, [&] { return of(b).set_state(name, v), 0; });
    };
    t.advance = [](orr_builder* b, orr_dim tokens) {
        of(b).step(0, [&] { return of(b).graph_.advance = tokens, 0; });
    };
    t.node = [](orr_builder* b, const char* op, const char* attrs, uint32_t n_ins, const orr_value* ins, uint32_t n_outs, orr_value* outs) {
        for (uint32_t i = 0; i < n_outs; i++) outs[i] = 0;
        of(b).step(0, [&] {
            const auto made = of(b).node(op, attrs ? attrs : "", {ins, ins + n_ins}, n_outs);
            for (uint32_t i = 0; i < n_outs; i++) outs[i] = made[i];
            return 0;
        });
    };
    t.name = [](orr_builder* b, orr_value v, const char* path) {
        of(b).step(0, [&] { return of(b).name(v, path), 0; });
    };
    t.output = [](orr_builder* b, const char* name, orr_value v) {
        of(b).step(0, [&] { return of(b).output(name, v), 0; });
    };
    t.info = [](orr_builder* b, orr_value v, orr_value_info* info) -> bool {
        GraphBuilder& g = of(b);
        if (v == 0 || v >= g.graph_.values.size()) return false;
        return g.step(false, [&] { return *info = value_info(g.graph_.values[v], g.registry_.type(g.graph_.values[v].type)), true; });
    };
    t.fail = [](orr_builder* b, orr_status code, const char* text) {
        of(b).step(0, [&]() -> int { throw Error(code, text); });
    };
    t.control = [](orr_builder* b, const char* name) -> const char* {
        const auto* controls = of(b).controls_;
        const auto at = controls ? controls->find(name) : decltype(controls->end()){};
        return controls && at != controls->end() ? at->second.c_str() : nullptr;
    };
    t.begin_if = [](orr_builder* b, orr_value flag, bool otherwise) { of(b).step(0, [&] { return of(b).begin_if(flag, otherwise), 0; }); };
    t.end_if = [](orr_builder* b) { of(b).step(0, [&] { return of(b).end_if(), 0; }); };
    t.begin_concurrent = [](orr_builder* b) { of(b).step(0, [&] { return of(b).begin_concurrent(), 0; }); };
    t.end_concurrent = [](orr_builder* b) { of(b).step(0, [&] { return of(b).end_concurrent(), 0; }); };
    t.file_tensor = [](orr_builder* b, const char* path, const char* name, int32_t rank, const int64_t* shape) {
        return of(b).step<orr_value>(0, [&]() -> orr_value {
            if (!of(b).file_tensor_) throw Error(ORR_UNSUPPORTED, std::string(path) + ": no files beside the checkpoint can be read here");
            const auto c = of(b).file_tensor_(path, name, {shape, shape + rank});
            return c ? of(b).constant(c, name) : 0;
        });
    };
}

void redirect(Program& program, orr_value was, orr_value is, size_t from) {
    for (size_t n = from; n < program.nodes.size(); n++) std::replace(program.nodes[n].ins.begin(), program.nodes[n].ins.end(), was, is);
    for (OutputDef& o : program.outputs)
        if (o.value == was) o.value = is;
    for (StateDef& s : program.states)
        if (s.next == was) s.next = is;
    for (RegionDef& r : program.regions)
        if (r.flag == was) r.flag = is;
}

}  // namespace orrery
