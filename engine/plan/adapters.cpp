#include "engine/plan/adapters.hpp"

#include <algorithm>
#include <cmath>

#include "engine/graph/builder.hpp"
#include "engine/registry/error_text.hpp"

namespace orrery {

AdapterSet::AdapterSet(std::vector<std::shared_ptr<const AdapterTensors>> adapters, const std::vector<double>& scales) {
    for (size_t i = 0; i < adapters.size(); i++) {
        const auto scale = static_cast<float>(scales[i]);
        if (!std::isfinite(scale)) throw Error(ORR_INVALID_ARGUMENT, "the scale of adapter " + std::to_string(i) + ", " + adapters[i]->file + ", is " + std::to_string(scales[i]));
        if (scale == 0) continue;
        key_ += adapters[i]->mark;
        scales_.push_back(scale);
        adapters_.push_back(std::move(adapters[i]));
    }
}

namespace {

// A node's input that is a weight of the checkpoint.
struct Reader {
    size_t node = 0;
    uint32_t input = 0;
    std::string tensor;
    std::vector<int64_t> shape;  // of the whole weight
    size_t cut = SIZE_MAX;       // a node between, which gives a view of the weight
};

class Weaver {
  public:
    Weaver(const orr_host* host, Registry& registry, Weights& weights, const Program& source, const AdapterSet& set)
        : host_(host), registry_(registry), weights_(weights), program_(source), set_(set), scales_(set.adapters().size(), 0) {
        program_.dims = program_.dims->clone();
    }

    Program weave(std::set<std::string>* used) {
        const std::vector<Reader> readers = find_readers();
        for (auto r = readers.rbegin(); r != readers.rend(); ++r) {  // from the last, so that places stay
            size_t at = r->node + 1;
            for (size_t k = 0; k < set_.adapters().size(); k++) {
                const auto found = set_.adapters()[k]->weights.find(r->tensor);
                if (found == set_.adapters()[k]->weights.end()) continue;
                at = join(*r, k, found->second, at);
                if (used) used->insert(r->tensor);
            }
        }
        return std::move(program_);
    }

  private:
    std::vector<Reader> find_readers() const {
        std::vector<Reader> readers;
        std::map<orr_value, size_t> parts;  // of weights, and the nodes that give them
        for (size_t n = 0; n < program_.nodes.size(); n++) {
            if (gives_part(program_.nodes[n])) {
                parts[program_.nodes[n].outs[0]] = n;
                continue;
            }
            for (size_t i = 0; i < program_.nodes[n].ins.size(); i++) {
                const orr_value in = program_.nodes[n].ins[i];
                const auto part = parts.find(in);
                const ValueDef& v = program_.values[part == parts.end() ? in : program_.nodes[part->second].ins[0]];
                if (v.kind != ValueKind::constant) continue;
                for (const std::string& name : v.constant->sources())
                    if (std::any_of(set_.adapters().begin(), set_.adapters().end(), [&](const auto& a) { return a->weights.count(name) != 0; }))
                        readers.push_back({n, static_cast<uint32_t>(i), name, v.constant->shape(), part == parts.end() ? SIZE_MAX : part->second});
            }
        }
        return readers;
    }
    // Of a weight.
    bool gives_part(const NodeDef& n) const {
        return (n.op->traits & ORR_TRAIT_VIEW) && n.outs.size() == 1 && n.ins.size() == 1 && n.ins[0] && program_.values[n.ins[0]].kind == ValueKind::constant;
    }

    // Puts adapter k's part behind what r gives so far; nodes for it stand from `at` on. Returns the place behind them.
    size_t join(const Reader& r, size_t k, const AdaptedWeight& w, size_t at) {
        const AdapterTensors& adapter = *set_.adapters()[k];
        const NodeDef node = program_.nodes[r.node], cut = program_.nodes[r.cut == SIZE_MAX ? r.node : r.cut];
        const orr_value y = at == r.node + 1 ? node.outs[0] : program_.nodes[at - 1].outs[0];
        orr_value made = 0;
        const size_t before = program_.nodes.size();
        try {
            if (node.outs.size() != 1) throw Error(ORR_UNSUPPORTED, std::string("the weight is read by ") + node.op->id + ", which gives " + std::to_string(node.outs.size()) + " values");
            insert_nodes(host_, registry_, weights_, program_, at, [&](GraphBuilder& b) {
                std::vector<orr_value> parts;
                std::vector<const char*> names;
                for (const auto& c : w.parts) {
                    parts.push_back(b.constant(c, c->name()));
                    names.push_back(c->name().c_str());
                }
                if (!scales_[k]) {
                    scales_[k] = b.input("(adapter " + std::to_string(k) + " scale)", ORR_TYPE_F32, {1}, ORR_INPUT_OPTIONAL, false);
                    b.graph().inputs.back().tap.part = TapInput::Part::adapter;
                    b.graph().inputs.back().tap.tap = k;
                }
                orr_adapter_point p{};
                p.header = ORR_HEADER(orr_adapter_point);
                p.op = node.op->id;
                p.attrs = node.attrs.table();
                p.n_ins = static_cast<uint32_t>(node.ins.size());
                p.ins = node.ins.data();
                p.weight = r.input;
                if (r.cut != SIZE_MAX) p.cut_op = cut.op->id, p.cut_attrs = cut.attrs.table();
                p.weight_name = r.tensor.c_str();
                p.weight_rank = static_cast<int32_t>(r.shape.size());
                std::copy(r.shape.begin(), r.shape.end(), p.weight_shape);
                p.interleaved_heads = w.interleaved_heads;
                p.y = y;
                p.parts = parts.data();
                p.part_names = names.data();
                p.factor = w.factor;
                p.scale = scales_[k];
                made = ask_plugin([&] { return adapter.kind->build(b.table(), &p); }, [] { return std::string(); });
            });
            if (!made || made >= program_.values.size()) throw Error(ORR_INVALID_ARGUMENT, "its plugin gives nothing");
            const ValueDef &was = program_.values[y], &is = program_.values[made];
            if (was.type != is.type || was.layout != is.layout || was.dims != is.dims)
                throw Error(ORR_INVALID_ARGUMENT, "its plugin gives " + program_.shape_text(made) + ", the layer gives " + program_.shape_text(y));
        } catch (const Error& e) {
            throw Error(e.code(), adapter.file + ": module " + w.module + ": " + e.what());
        }
        const size_t behind = at + program_.nodes.size() - before;
        redirect(program_, y, made, behind);
        program_.values[made].name.swap(program_.values[y].name);  // the new value has the old one's
        return behind;
    }

    const orr_host* host_;
    Registry& registry_;
    Weights& weights_;
    Program program_;
    const AdapterSet& set_;
    std::vector<orr_value> scales_;  // inputs, by adapter
};

}  // namespace

Program weave_adapters(const orr_host* host, Registry& registry, Weights& weights, const Program& source, const AdapterSet& set, std::set<std::string>* used) {
    return Weaver(host, registry, weights, source, set).weave(used);
}

}  // namespace orrery
