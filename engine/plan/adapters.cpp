#include "engine/plan/adapters.hpp"

#include <algorithm>
#include <cmath>
#include <optional>

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
    Weaver(const orr_host* host, Registry& registry, Weights& weights, const Program& source, const AdapterSet& set, std::set<std::string>* used)
        : host_(host), registry_(registry), weights_(weights), program_(source), set_(set), used_(used), scales_(set.adapters().size(), 0) {
        program_.dims = program_.dims->clone();
    }

    Program weave() {
        replace_tensors();
        open_nodes();
        const std::vector<Reader> readers = find_readers();
        for (auto r = readers.rbegin(); r != readers.rend(); ++r) {  // from the last, so that places stay
            size_t at = r->node + 1;
            orr_value y = program_.nodes[r->node].outs[0];
            for (size_t k = 0; k < set_.adapters().size(); k++)
                for (const AdaptedWeight* w : of_reader(*r, k)) at = join(*r, k, *w, at, &y);
        }
        return std::move(program_);
    }

  private:
    static bool reads(Readers readers, const NodeDef& node) { return readers == Readers::all || (readers == Readers::products) == ((node.op->traits & ORR_TRAIT_LINEAR) != 0); }
    std::vector<const AdaptedWeight*> of_reader(const Reader& r, size_t k) const {
        std::vector<const AdaptedWeight*> mine;
        const auto found = set_.adapters()[k]->weights.find(r.tensor);
        if (found == set_.adapters()[k]->weights.end()) return mine;
        for (const AdaptedWeight& w : found->second)
            if (reads(w.readers, program_.nodes[r.node])) mine.push_back(&w);
        return mine;
    }
    bool is_adapted(const Reader& r) const {
        for (size_t k = 0; k < set_.adapters().size(); k++)
            if (!of_reader(r, k).empty()) return true;
        return false;
    }

    // Whole tensors of adapters, at each node that reads those of the model.
    void replace_tensors() {
        check_replaced();
        for (const auto& adapter : set_.adapters())
            for (const auto& [tensor, list] : adapter->replaced)
                for (const ReplacedTensor& r : list) replace_tensor(*adapter, tensor, r);
    }
    void replace_tensor(const AdapterTensors& adapter, const std::string& tensor, const ReplacedTensor& r) {
        orr_value made = 0;
        for (size_t n = 0; n < program_.nodes.size(); n++)
            for (size_t i = 0; i < program_.nodes[n].ins.size(); i++) {
                const orr_value in = program_.nodes[n].ins[i];
                if (!in || program_.values[in].kind != ValueKind::constant || !reads(r.readers, program_.nodes[n])) continue;
                const auto& sources = program_.values[in].constant->sources();
                if (std::find(sources.begin(), sources.end(), tensor) == sources.end()) continue;
                if (sources.size() > 1) throw Error(ORR_UNSUPPORTED, adapter.file + ": module " + r.module + ": " + tensor + " is one of a stack of weights, which is not replaced");
                if (!made) insert_nodes(host_, registry_, weights_, program_, n, program_.nodes[n].region, program_.nodes[n].group, [&](GraphBuilder& b) { made = b.constant(r.constant, r.constant->name()); });
                program_.nodes[n].ins[i] = made;
                if (used_) used_->insert(use_of(tensor, r.module));
            }
    }
    void check_replaced() const {
        for (size_t k = 0; k < set_.adapters().size(); k++)
            for (const auto& [tensor, list] : set_.adapters()[k]->replaced)
                for (size_t other = 0; other < set_.adapters().size(); other++) {
                    const AdapterTensors& a = *set_.adapters()[other];
                    if (other != k && (a.weights.count(tensor) || a.replaced.count(tensor)))
                        throw Error(ORR_CONFLICT, set_.adapters()[k]->file + ": module " + list[0].module + " takes the place of " + tensor + ", which " + a.file + " is for too");
                }
    }

    // Nodes that do more than a kind can join.
    void open_nodes() {
        for (size_t n = 0; n < program_.nodes.size(); n++)
            for (const Reader& r : find_readers(n)) {
                if (!is_adapted(r)) continue;
                if (open_node(r)) break;
            }
    }
    bool open_node(const Reader& r) {
        for (size_t k = 0; k < set_.adapters().size(); k++) {
            const AdapterTensors& adapter = *set_.adapters()[k];
            if (of_reader(r, k).empty() || !ORR_HAS(adapter.kind, orr_adapter_kind, open) || !adapter.kind->open) continue;
            const NodeDef node = program_.nodes[r.node];
            orr_value made = 0;
            const size_t before = program_.nodes.size();
            const orr_adapter_point p = point(r);
            insert_nodes(host_, registry_, weights_, program_, r.node + 1, [&](GraphBuilder& b) {
                made = ask_plugin([&] { return adapter.kind->open(b.table(), &p); }, [&] { return adapter.file; });
            });
            if (!made) continue;
            take_place(node.outs[0], made, r.node + 1 + program_.nodes.size() - before);
            program_.nodes.erase(program_.nodes.begin() + static_cast<std::ptrdiff_t>(r.node));
            return true;
        }
        return false;
    }

    // Of one node, or of all.
    std::vector<Reader> find_readers(size_t only = SIZE_MAX) const {
        std::vector<Reader> readers;
        std::map<orr_value, size_t> parts;  // of weights, and the nodes that give them
        for (size_t n = 0; n < program_.nodes.size(); n++) {
            if (gives_part(program_.nodes[n])) {
                parts[program_.nodes[n].outs[0]] = n;
                continue;
            }
            if (only != SIZE_MAX && only != n) continue;
            for (size_t i = 0; i < program_.nodes[n].ins.size(); i++) {
                const orr_value in = program_.nodes[n].ins[i];
                const auto part = parts.find(in);
                const ValueDef& v = program_.values[part == parts.end() ? in : program_.nodes[part->second].ins[0]];
                if (v.kind != ValueKind::constant || v.constant->sources().empty()) continue;
                readers.push_back({n, static_cast<uint32_t>(i), v.constant->sources()[0], v.constant->shape(), part == parts.end() ? SIZE_MAX : part->second});
            }
        }
        return readers;
    }
    // Of a weight.
    bool gives_part(const NodeDef& n) const {
        return (n.op->traits & ORR_TRAIT_VIEW) && n.outs.size() == 1 && n.ins.size() == 1 && n.ins[0] && program_.values[n.ins[0]].kind == ValueKind::constant;
    }

    // What the kind is told of a node; good until the next one.
    orr_adapter_point point(const Reader& r) {
        node_.emplace(program_.nodes[r.node]);
        orr_adapter_point p{};
        p.header = ORR_HEADER(orr_adapter_point);
        p.op = node_->op->id;
        p.attrs = node_->attrs.table();
        p.n_ins = static_cast<uint32_t>(node_->ins.size());
        p.ins = node_->ins.data();
        p.weight = r.input;
        if (r.cut != SIZE_MAX) {
            cut_.emplace(program_.nodes[r.cut]);
            p.cut_op = cut_->op->id, p.cut_attrs = cut_->attrs.table();
        }
        p.weight_name = r.tensor.c_str();
        p.weight_rank = static_cast<int32_t>(r.shape.size());
        std::copy(r.shape.begin(), r.shape.end(), p.weight_shape);
        return p;
    }

    // Puts adapter k's part behind what r gives so far, *last; nodes for it stand from `at` on. Returns the place behind them.
    size_t join(const Reader& r, size_t k, const AdaptedWeight& w, size_t at, orr_value* last) {
        const AdapterTensors& adapter = *set_.adapters()[k];
        const orr_value y = *last;
        orr_value made = 0;
        const size_t before = program_.nodes.size();
        try {
            orr_adapter_point p = point(r);
            if (node_->outs.size() != 1) throw Error(ORR_UNSUPPORTED, std::string("the weight is read by ") + node_->op->id + ", which gives " + std::to_string(node_->outs.size()) + " values");
            insert_nodes(host_, registry_, weights_, program_, at, [&](GraphBuilder& b) {
                std::vector<orr_value> parts;
                std::vector<const char*> names;
                for (const auto& c : w.parts) {
                    parts.push_back(c ? b.constant(c, c->name()) : 0);
                    names.push_back(c ? c->name().c_str() : "");
                }
                if (!scales_[k]) {
                    scales_[k] = b.input("(adapter " + std::to_string(k) + " scale)", ORR_TYPE_F32, {1}, ORR_INPUT_OPTIONAL, false);
                    b.graph().inputs.back().tap.part = TapInput::Part::adapter;
                    b.graph().inputs.back().tap.tap = k;
                }
                p.interleaved_heads = w.interleaved_heads;
                p.y = y;
                p.parts = parts.data();
                p.part_names = names.data();
                p.factor = w.factor;
                p.scale = scales_[k];
                p.first_row = w.first_row, p.rows = w.rows;
                made = ask_plugin([&] { return adapter.kind->build(b.table(), &p); }, [] { return std::string(); });
            });
            if (!made || made >= program_.values.size()) throw Error(ORR_INVALID_ARGUMENT, "its plugin gives nothing");
            const ValueDef &was = program_.values[y], &is = program_.values[made];
            if (was.type != is.type || was.layout != is.layout || was.dims != is.dims)
                throw Error(ORR_INVALID_ARGUMENT, "its plugin gives " + program_.shape_text(made) + ", the layer gives " + program_.shape_text(y));
        } catch (const Error& e) {
            throw Error(e.code(), adapter.file + ": module " + w.module + ": " + e.what());
        }
        if (used_) used_->insert(use_of(r.tensor, w.module));
        const size_t behind = at + program_.nodes.size() - before;
        take_place(y, made, behind);
        *last = made;
        return behind;
    }
    // The new value has the old one's name and its readers from a node on.
    void take_place(orr_value was, orr_value is, size_t from) {
        redirect(program_, was, is, from);
        program_.values[is].name.swap(program_.values[was].name);
    }

    const orr_host* host_;
    Registry& registry_;
    Weights& weights_;
    Program program_;
    const AdapterSet& set_;
    std::set<std::string>* used_;
    std::vector<orr_value> scales_;  // inputs, by adapter
    std::optional<NodeDef> node_, cut_;  // of point()
};

}  // namespace

std::string use_of(const std::string& tensor, const std::string& module) { return tensor + "\n" + module; }

Program weave_adapters(const orr_host* host, Registry& registry, Weights& weights, const Program& source, const AdapterSet& set, std::set<std::string>* used) {
    return Weaver(host, registry, weights, source, set, used).weave();
}

}  // namespace orrery
