#include "engine/plan/graph_edit.hpp"

#include <algorithm>

#include "orrery/plugin.hpp"

namespace orrery {

GraphEdit::GraphEdit(const Folding& folding, Program& program, const std::set<orr_value>& kept)
    : folding_(folding), host_(folding.host), registry_(folding.registry), program_(program), kept_(kept) {
    table_.self = this;
    orr_graph_edit& t = table_.base;
    t = {};
    t.header = ORR_HEADER(orr_graph_edit);
    t.host = host_;
    t.node_count = [](const orr_graph_edit* g) { return static_cast<uint32_t>(of(g).program_.nodes.size()); };
    t.op = [](const orr_graph_edit* g, uint32_t n) -> const char* {
        const auto& nodes = of(g).program_.nodes;
        return n < nodes.size() && nodes[n].op ? nodes[n].op->id : nullptr;
    };
    t.attrs = [](const orr_graph_edit* g, uint32_t n) { return of(g).program_.nodes[n].attrs.table(); };
    t.inputs = [](const orr_graph_edit* g, uint32_t n, const orr_value** values) {
        const auto& v = of(g).program_.nodes[n].ins;
        *values = v.data();
        return static_cast<uint32_t>(v.size());
    };
    t.outputs = [](const orr_graph_edit* g, uint32_t n, const orr_value** values) {
        const auto& v = of(g).program_.nodes[n].outs;
        *values = v.data();
        return static_cast<uint32_t>(v.size());
    };
    t.uses = [](const orr_graph_edit* g, orr_value v) { return of(g).uses(v); };
    t.producer = [](const orr_graph_edit* g, orr_value v) -> int64_t {
        const auto& nodes = of(g).program_.nodes;
        for (size_t i = 0; i < nodes.size(); i++)
            if (nodes[i].op && std::find(nodes[i].outs.begin(), nodes[i].outs.end(), v) != nodes[i].outs.end()) return static_cast<int64_t>(i);
        return -1;
    };
    t.is_constant = [](const orr_graph_edit* g, orr_value v) { return v && of(g).program_.values[v].kind == ValueKind::constant; };
    t.info = [](const orr_graph_edit* g, orr_value v, orr_value_info* info) -> bool {
        GraphEdit& e = of(g);
        if (v == 0 || v >= e.program_.values.size()) return false;
        try {
            *info = value_info(e.program_.values[v], e.registry_.type(e.program_.values[v].type));
            return true;
        } catch (...) {
            return false;
        }
    };
    t.replace = [](orr_graph_edit* g, uint32_t n_nodes, const uint32_t* nodes, const char* op_id, const char* attrs, uint32_t n_ins, const orr_value* ins, uint32_t n_outs,
                   const orr_value* outs) -> bool {
        try {
            return of(g).replace({nodes, nodes + n_nodes}, op_id, attrs ? attrs : "", {ins, ins + n_ins}, {outs, outs + n_outs});
        } catch (const std::exception& e) {
            of(g).host_->log(of(g).host_, ORR_LOG_WARNING, e.what());
            return false;
        } catch (...) {
            return false;
        }
    };
    t.constant = [](orr_graph_edit* g, const char* op_id, const char* attrs, uint32_t n_ins, const orr_value* ins) -> orr_value {
        try {
            return of(g).constant(op_id, attrs ? attrs : "", {ins, ins + n_ins});
        } catch (const std::exception& e) {
            of(g).host_->log(of(g).host_, ORR_LOG_WARNING, e.what());
            return 0;
        } catch (...) {
            return 0;
        }
    };
}

uint32_t GraphEdit::uses(orr_value v) const {
    uint32_t n = kept_.count(v) ? 1 : 0;
    for (const auto& node : program_.nodes)
        if (node.op) n += static_cast<uint32_t>(std::count(node.ins.begin(), node.ins.end(), v));
    for (const auto& s : program_.states) n += s.next == v;
    for (const auto& r : program_.regions) n += r.flag == v;
    return n;
}

std::vector<orr_value_info> GraphEdit::infer(const orr_operator& op, const NodeAttrs& attrs, const std::vector<orr_value>& ins, size_t n_outs) const {
    std::vector<bool> present;
    std::vector<orr_value_info> infos(ins.size()), results(n_outs);
    std::vector<const orr_value_info*> in_ptrs;
    std::vector<orr_value_info*> out_ptrs;
    for (size_t i = 0; i < ins.size(); i++) {
        present.push_back(ins[i] != 0);
        if (ins[i]) infos[i] = value_info(program_.values[ins[i]], registry_.type(program_.values[ins[i]].type));
        in_ptrs.push_back(ins[i] ? &infos[i] : nullptr);
    }
    for (auto& r : results) {
        r.header = ORR_HEADER(orr_value_info);
        out_ptrs.push_back(&r);
    }
    check_arity(op, present, n_outs, "rewrite");
    infer_node(host_, op, attrs, program_.dims->table(), in_ptrs, out_ptrs, "rewrite");
    return results;
}

orr_value GraphEdit::constant(const char* op_id, const char* attrs, const std::vector<orr_value>& ins) {
    for (const orr_value v : ins)
        if (v && (v >= program_.values.size() || program_.values[v].kind != ValueKind::constant)) return 0;
    const orr_operator& op = registry_.find_operator(op_id);
    NodeDef node{&op, NodeAttrs(op, attrs), ins, {}};
    const orr_value_info info = infer(op, node.attrs, ins, 1)[0];
    ValueDef value;
    value.type = info.type;
    value.dims.assign(info.dims, info.dims + info.rank);
    for (const orr_value v : ins)
        if (v && value.name.empty()) value.name = program_.values[v].name;
    const auto made = static_cast<orr_value>(program_.values.size());
    program_.values.push_back(value);
    node.outs = {made};
    if (fold_node(folding_, program_, node)) return made;
    program_.values.pop_back();
    return 0;
}

bool GraphEdit::replace(const std::vector<uint32_t>& nodes, const char* op_id, const char* attrs, const std::vector<orr_value>& ins, const std::vector<orr_value>& outs) {
    if (nodes.empty()) return false;
    for (const uint32_t n : nodes)
        if (n >= program_.nodes.size() || !program_.nodes[n].op || program_.nodes[n].region != program_.nodes[nodes[0]].region) return false;
    const auto removed = [&](size_t i) { return std::find(nodes.begin(), nodes.end(), i) != nodes.end(); };
    // What the replaced nodes defined and is still read elsewhere must be among the outputs.
    for (const uint32_t n : nodes)
        for (const orr_value v : program_.nodes[n].outs) {
            if (std::find(outs.begin(), outs.end(), v) != outs.end()) continue;
            if (kept_.count(v)) return false;
            for (const auto& s : program_.states)
                if (s.next == v) return false;
            for (const auto& r : program_.regions)
                if (r.flag == v) return false;
            for (size_t i = 0; i < program_.nodes.size(); i++)
                if (program_.nodes[i].op && !removed(i) && std::find(program_.nodes[i].ins.begin(), program_.nodes[i].ins.end(), v) != program_.nodes[i].ins.end()) return false;
        }
    const orr_operator& op = registry_.find_operator(op_id);
    const uint32_t group = program_.nodes[nodes[0]].group;
    const bool one_group = std::all_of(nodes.begin(), nodes.end(), [&](uint32_t n) { return program_.nodes[n].group == group; });
    NodeDef node{&op, NodeAttrs(op, attrs), ins, outs, program_.nodes[nodes[0]].region, one_group ? group : 0};
    // The shape function must agree with what the outputs are.
    const std::vector<orr_value_info> results = infer(op, node.attrs, ins, outs.size());
    for (size_t i = 0; i < outs.size(); i++) {
        const ValueDef& want = program_.values[outs[i]];
        bool same = results[i].type == want.type && results[i].rank == static_cast<int32_t>(want.dims.size());
        for (size_t k = 0; same && k < want.dims.size(); k++) same = program_.dims->equal(results[i].dims[k], want.dims[k]) != 0;
        if (!same) throw Error(ORR_INVALID_ARGUMENT, std::string("rewrite to ") + op_id + " would change the shape of " + want.name + " " + program_.shape_text(outs[i]));
    }
    // The new node takes the first place of a replaced one where its inputs are defined and nobody has read its outputs.
    const auto contains = [](const std::vector<orr_value>& list, orr_value v) { return v && std::find(list.begin(), list.end(), v) != list.end(); };
    std::vector<uint32_t> places = nodes;
    std::sort(places.begin(), places.end());
    for (const uint32_t place : places) {
        bool fits = true;
        for (size_t i = 0; fits && i < program_.nodes.size(); i++) {
            const NodeDef& n = program_.nodes[i];
            if (!n.op || removed(i)) {
                for (const orr_value v : n.outs) fits = fits && !(n.op && contains(ins, v));
                continue;
            }
            for (const orr_value v : n.outs) fits = fits && !(i > place && contains(ins, v));
            for (const orr_value v : n.ins) fits = fits && !(i < place && contains(outs, v));
        }
        if (!fits) continue;
        for (const uint32_t n : nodes) program_.nodes[n].op = nullptr;
        program_.nodes[place] = std::move(node);
        return true;
    }
    return false;
}

}  // namespace orrery
