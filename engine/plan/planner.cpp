// Binds a prepared program to shapes and chooses kernels and memory.
#include <algorithm>
#include <cstring>

#include "engine/graph/builder.hpp"
#include "engine/plan/memory_layout.hpp"
#include "engine/plan/plan.hpp"
#include "engine/registry/error_text.hpp"

namespace orrery {

namespace {
constexpr uint64_t kChainSlotBytes = 1024 * sizeof(float);
constexpr size_t kChainMostInputs = 16;
}  // namespace

class Planner {
  public:
    Planner(const orr_host* host, Registry& registry, const std::shared_ptr<Memory>& memory, Weights& weights, std::shared_ptr<const PreparedProgram> prepared,
            const Binding& binding, const PlanOptions& options, std::shared_ptr<Team> team)
        : host_(host), registry_(registry), memory_(memory), weights_(weights), prepared_(std::move(prepared)), g_(prepared_->program), binding_(binding), options_(options) {
        plan_ = std::make_unique<Plan>();
        plan_->host_ = host;
        plan_->team_ = std::move(team);
        plan_->program_ = prepared_;
        plan_->profile_ = options.profile;
        values_.resize(g_.values.size());
    }

    std::unique_ptr<Plan> make() {
        find_present();
        find_wanted();
        find_live();
        bind_sources();
        group_chains();
        plan_->advance_ = g_.dims->evaluate(g_.advance, binding_.symbols);
        for (size_t n = 0; n < g_.nodes.size(); n++) {
            if (!live_[n]) continue;
            if (options_.progress && !options_.progress(static_cast<double>(n) / static_cast<double>(g_.nodes.size()))) throw_cancelled();
            plan_node(n);
            if (cancelled()) throw_cancelled();
        }
        for (const auto& [name, v] : wanted_) {
            orr_tensor* t = values_[v].tensor;
            if (!t) {
                plan_->tensors_.push_back(weights_.tensor(g_.values[v].constant, false));
                t = &plan_->tensors_.back();
                t->data = const_cast<void*>(weights_.data(g_.values[v].constant));
            }
            if (t->layout != plain_) throw Error(ORR_UNSUPPORTED, "output " + name + " is a state, not a tensor");
            if (!is_contiguous(*t)) t = add_copy(t, name);
            touch_last(t, kEnd);
            plan_->outputs_.push_back({name, t});
        }
        place_memory();
        finish_runs();
        return std::move(plan_);
    }

  private:
    static constexpr size_t kEnd = SIZE_MAX / 2;
    struct Bound {
        bool present = false, needed = false;
        orr_tensor* tensor = nullptr;
    };
    struct Storage {  // one arena buffer
        orr_tensor* tensor;
        LayoutItem item;
        std::vector<std::pair<orr_tensor*, uint64_t>> views;
    };

    std::string where() const { return g_.model + "." + g_.entry; }
    bool cancelled() const { return options_.cancel && options_.cancel->load(std::memory_order_relaxed); }
    [[noreturn]] void throw_cancelled() const { throw Error(ORR_CANCELLED, where() + ": the run was cancelled while its plan was made"); }

    void find_present() {
        for (size_t v = 1; v < g_.values.size(); v++) {
            const ValueDef& def = g_.values[v];
            if (def.kind == ValueKind::input) {
                const InputDef& in = g_.inputs[def.index];
                values_[v].present = binding_.given.count(in.name) || in.positions || (in.flags & (ORR_INPUT_FILL_ZERO | ORR_INPUT_FILL_ONE));
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

    void find_wanted() {
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
                if (values_[o.value].present || !missing_.empty()) need(o.name, o.value);  // an input that is not optional is not left out so
            if (wanted_.empty()) need(g_.outputs[0].name, g_.outputs[0].value);
        } else {
            for (const auto& name : binding_.wanted) need(name, g_.find(name));
        }
    }

    void find_live() {
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
            for (const orr_value v : node.ins)
                if (v) values_[v].needed = true;
        }
    }

    orr_tensor* new_tensor(uint32_t type, const std::vector<int64_t>& shape, const char* layout, const std::string& what) {
        const TypeInfo& info = registry_.type(type);
        orr_tensor t{};
        t.header = ORR_HEADER(orr_tensor);
        t.type = type;
        t.type_id = info.id.c_str();
        t.layout = layout;
        if (shape.size() > ORR_MAX_RANK) throw Error(ORR_INVALID_ARGUMENT, what + " has rank " + std::to_string(shape.size()));
        t.rank = static_cast<int32_t>(shape.size());
        const auto strides = contiguous_strides(shape, info);
        for (size_t i = 0; i < shape.size(); i++) {
            if (shape[i] < 0) throw Error(ORR_INVALID_ARGUMENT, what + " has shape " + shape_text(shape));
            t.shape[i] = shape[i];
            t.stride_bytes[i] = strides[i];
        }
        t.block_elems = info.block_elems;
        t.block_bytes = info.block_bytes;
        t.size_bytes = contiguous_bytes(shape, info, what);
        plan_->tensors_.push_back(t);
        return &plan_->tensors_.back();
    }

    std::vector<int64_t> bound_shape(const std::vector<orr_dim>& dims) const {
        std::vector<int64_t> shape;
        for (const orr_dim d : dims) shape.push_back(g_.dims->evaluate(d, binding_.symbols));
        return shape;
    }

    void own(orr_tensor* t, size_t first) {
        storage_of_[t] = storages_.size();
        storages_.push_back({t, {t->size_bytes, first, first, 0}, {}});
    }
    void touch_last(const orr_tensor* t, size_t step) {
        const auto it = storage_of_.find(t);
        if (it != storage_of_.end()) storages_[it->second].item.last = std::max(storages_[it->second].item.last, step);
    }

    void bind_sources() {
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
                p.positions = in.positions;
                p.fill = in.flags & ORR_INPUT_FILL_ZERO ? 0 : in.flags & ORR_INPUT_FILL_ONE ? 1 : -1;
                p.tensor = b.tensor;
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
                plan_->states_.push_back(p);
                plan_->batch_ = shape[0];
            }
        }
    }

    // ---- elementwise chains: a producer with one reader joins its reader's chain
    void group_chains() {
        chain_of_.assign(g_.nodes.size(), SIZE_MAX);
        if (options_.reference) return;
        std::vector<int> uses(g_.values.size(), 0);
        for (size_t n = 0; n < g_.nodes.size(); n++)
            if (live_[n])
                for (const orr_value v : g_.nodes[n].ins) uses[v]++;
        for (const auto& [name, v] : wanted_) uses[v] += 2;
        for (const auto& s : g_.states)
            if (s.next) uses[s.next] += 2;
        std::vector<size_t> producer(g_.values.size(), SIZE_MAX);
        for (size_t n = 0; n < g_.nodes.size(); n++)
            for (const orr_value v : g_.nodes[n].outs) producer[v] = n;
        const auto eligible = [&](size_t n) {
            const NodeDef& node = g_.nodes[n];
            if (!(node.op->traits & ORR_TRAIT_ELEMENTWISE) || !node.op->elementwise || node.outs.size() != 1 || node.ins.size() > kChainMostInputs) return false;
            const ValueDef& out = g_.values[node.outs[0]];
            if (out.type != ORR_TYPE_F32) return false;
            for (const orr_value v : node.ins) {
                if (!v) return false;
                const ValueDef& in = g_.values[v];
                if (in.type != ORR_TYPE_F32 || in.dims.size() != out.dims.size() || in.kind == ValueKind::constant) return false;
                for (size_t k = 0; k < in.dims.size(); k++)
                    if (g_.dims->evaluate(in.dims[k], binding_.symbols) != g_.dims->evaluate(out.dims[k], binding_.symbols)) return false;
            }
            return true;
        };
        for (size_t n = 0; n < g_.nodes.size(); n++) {
            if (!live_[n] || !eligible(n)) continue;
            std::vector<size_t> members;
            for (const orr_value v : g_.nodes[n].ins) {
                const size_t p = producer[v];
                if (p == SIZE_MAX || uses[v] != 1 || !live_[p] || !eligible(p)) continue;
                if (const auto it = chains_.find(p); it != chains_.end()) {
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

    // ---- one node
    void plan_node(size_t n) {
        if (chain_of_[n] != SIZE_MAX) {
            if (chain_of_[n] == n) plan_chain(n);
            return;
        }
        const NodeDef& node = g_.nodes[n];
        std::vector<const orr_tensor*> ins(std::max<size_t>(node.ins.size(), node.op->n_inputs), nullptr);
        std::vector<bool> present;
        for (size_t i = 0; i < node.ins.size(); i++) {
            const orr_value v = node.ins[i];
            present.push_back(v && values_[v].present);
            if (present.back()) ins[i] = input_tensor(node, i, v);
        }
        check_arity(*node.op, present, node.outs.size(), where());
        std::vector<const orr_tensor*> outs = infer_outputs(node, ins);
        for (size_t i = 0; i < outs.size(); i++) values_[node.outs[i]].tensor = const_cast<orr_tensor*>(outs[i]);
        if (try_view(node, ins, outs)) return;
        choose_kernel(node, ins, outs);
    }

    const orr_tensor* input_tensor(const NodeDef& node, size_t i, orr_value v) {
        const ValueDef& def = g_.values[v];
        const orr_port& port = input_port(*node.op, i);
        if (def.kind != ValueKind::constant) {
            const orr_tensor* t = values_[v].tensor;
            if (!t) throw Error(ORR_INTERNAL, where() + ": " + node.op->id + " reads value " + std::to_string(v) + " before it is defined");
            if (t->layout == plain_ && !port_takes(port, t->type_id))
                throw Error(ORR_INVALID_ARGUMENT, where() + ": " + node.op->id + ": input " + port.name + " is " + t->type_id + ", it takes " + port.types);
            return t;
        }
        std::shared_ptr<Constant> c = def.constant;
        if (!port_takes(port, c->type_info().id)) {
            if (!port_takes(port, "f32"))
                throw Error(ORR_INVALID_ARGUMENT, where() + ": " + node.op->id + ": input " + port.name + " (" + c->name() + ") is " + c->type_info().id + ", it takes " + port.types);
            c = weights_.as_f32(c);
        }
        plan_->tensors_.push_back(weights_.tensor(c, false));
        orr_tensor* t = &plan_->tensors_.back();
        if (!(port.flags & ORR_PORT_WEIGHT)) t->data = const_cast<void*>(weights_.data(c));
        constants_[t] = c;
        return t;
    }

    std::vector<const orr_tensor*> infer_outputs(const NodeDef& node, const std::vector<const orr_tensor*>& ins) {
        std::vector<orr_value_info> infos(ins.size()), results(node.outs.size());
        std::vector<const orr_value_info*> in_ptrs;
        std::vector<orr_value_info*> out_ptrs;
        std::string described;
        for (size_t i = 0; i < ins.size(); i++) {
            if (ins[i]) {
                infos[i].header = ORR_HEADER(orr_value_info);
                infos[i].type = ins[i]->type;
                infos[i].type_id = ins[i]->type_id;
                infos[i].layout = ins[i]->layout;
                infos[i].rank = ins[i]->rank;
                std::copy_n(ins[i]->shape, ins[i]->rank, infos[i].dims);
                described += (described.empty() ? "" : ", ") + orrery::describe(*ins[i]);
            }
            in_ptrs.push_back(ins[i] ? &infos[i] : nullptr);
        }
        for (auto& r : results) {
            r.header = ORR_HEADER(orr_value_info);
            r.layout = plain_;
            out_ptrs.push_back(&r);
        }
        try {
            infer_node(host_, *node.op, node.attrs, dims_.table(), in_ptrs, out_ptrs, where());
        } catch (const Error& e) {
            throw Error(e.code(), std::string(e.what()) + " (" + (g_.values[node.outs[0]].name.empty() ? "" : g_.values[node.outs[0]].name + ": ") + "inputs " + described + ")");
        }
        std::vector<const orr_tensor*> outs;
        for (size_t i = 0; i < results.size(); i++) {
            const char* layout = registry_.intern(results[i].layout ? results[i].layout : "");
            std::vector<int64_t> shape(results[i].dims, results[i].dims + results[i].rank);
            for (auto& d : shape) d = d >= 0 ? d : dims_.evaluate(d, {});
            if (layout == paged_) {  // a state handed on
                const auto it = std::find_if(ins.begin(), ins.end(), [&](const orr_tensor* t) { return t && t->layout == paged_; });
                if (it == ins.end()) throw Error(ORR_INTERNAL, where() + ": " + node.op->id + " gives a paged value without taking one");
                outs.push_back(*it);
                continue;
            }
            if (layout == rows_) {
                const auto it = next_tensors_.find(node.outs[i]);
                if (it == next_tensors_.end()) throw Error(ORR_INVALID_ARGUMENT, where() + ": " + node.op->id + " gives a new state that no state takes");
                outs.push_back(it->second);
                continue;
            }
            outs.push_back(new_tensor(results[i].type, shape, layout, node.op->id));
        }
        return outs;
    }

    orr_prepare base_prepare(const NodeDef& node, const std::vector<const orr_tensor*>& ins, const std::vector<const orr_tensor*>& outs) const {
        orr_prepare p{};
        p.header = ORR_HEADER(orr_prepare);
        p.host = host_;
        p.attrs = node.attrs.table();
        p.n_inputs = static_cast<uint32_t>(ins.size());
        p.n_outputs = static_cast<uint32_t>(outs.size());
        p.inputs = ins.data();
        p.outputs = outs.data();
        p.isa = options_.isa;
        p.threads = plan_->team_->threads();
        p.numerics = options_.numerics;
        return p;
    }

    bool try_view(const NodeDef& node, const std::vector<const orr_tensor*>& ins, std::vector<const orr_tensor*>& outs) {
        if (!(node.op->traits & ORR_TRAIT_VIEW) || !node.op->view || outs.size() != 1 || !ins[0] || ins[0]->layout != plain_ || constants_.count(ins[0])) return false;
        const orr_prepare p = base_prepare(node, ins, outs);
        orr_tensor as = *outs[0];
        as.offset = 0;
        if (!ask_plugin([&] { return node.op->view(&p, &as); }, [&] { return where() + ": " + node.op->id; })) return false;
        const uint64_t offset = as.offset;
        as.offset = 0;
        auto* out = const_cast<orr_tensor*>(outs[0]);
        *out = as;
        const auto it = storage_of_.find(ins[0]);
        if (it == storage_of_.end()) throw Error(ORR_INTERNAL, where() + ": " + node.op->id + " views a tensor without storage");
        const size_t root = it->second;
        uint64_t base = 0;
        for (const auto& [t, o] : storages_[root].views)
            if (t == ins[0]) base = o;
        storages_[root].views.emplace_back(out, base + offset);
        storage_of_[out] = root;
        return true;
    }

    orr_tensor* add_copy(const orr_tensor* src, const std::string& label) {
        std::vector<int64_t> shape(src->shape, src->shape + src->rank);
        orr_tensor* dst = new_tensor(src->type, shape, plain_, "copy");
        PlanStep& step = plan_->steps_.emplace_back();
        step.kind = PlanStep::Kind::copy;
        step.label = label;
        step.ins = {src};
        step.outs = {dst};
        const size_t at = plan_->steps_.size() - 1;
        own(dst, at);
        touch_last(src, at);
        return dst;
    }

    void choose_kernel(const NodeDef& node, std::vector<const orr_tensor*> ins, std::vector<const orr_tensor*>& outs) {
        const std::string label = g_.values[node.outs[0]].name;
        std::vector<Refusal> refusals;
        const orr_kernel* kernel = pick(node, ins, outs, refusals);
        const bool strided = std::any_of(ins.begin(), ins.end(), [&](const orr_tensor* t) { return t && t->layout == plain_ && !is_contiguous(*t); });
        if (strided && (!kernel || (kernel->flags & ORR_KERNEL_REFERENCE)) && !options_.reference) {
            // A fast kernel may only want its inputs contiguous.
            std::vector<const orr_tensor*> dense = ins;
            std::vector<orr_tensor> copies(ins.size());
            for (size_t i = 0; i < ins.size(); i++)
                if (ins[i] && ins[i]->layout == plain_ && !is_contiguous(*ins[i])) {
                    copies[i] = *ins[i];
                    const std::vector<int64_t> shape(ins[i]->shape, ins[i]->shape + ins[i]->rank);
                    const auto strides = contiguous_strides(shape, registry_.type(ins[i]->type));
                    std::copy(strides.begin(), strides.end(), copies[i].stride_bytes);
                    dense[i] = &copies[i];
                }
            std::vector<Refusal> again;
            const orr_kernel* better = pick(node, dense, outs, again);
            if (better && (!kernel || !(better->flags & ORR_KERNEL_REFERENCE))) {
                kernel = better;
                for (size_t i = 0; i < ins.size(); i++)
                    if (dense[i] == &copies[i]) ins[i] = contiguous(ins[i], label);
            }
        }
        if (!kernel) {
            std::string text = where() + ": no kernel on " + options_.device + " for " + node.op->id + (label.empty() ? "" : " (" + label + ")");
            for (const auto& r : refusals) text += "; " + r.kernel + ": " + r.reason;
            throw Error(ORR_UNSUPPORTED, text);
        }
        prepare_step(node, *kernel, ins, outs, std::move(refusals), label);
    }

    const orr_tensor* contiguous(const orr_tensor* t, const std::string& label) {
        const auto it = constants_.find(t);
        if (it == constants_.end()) return add_copy(t, label);
        // A strided view of a constant is copied once, not at every run.
        const std::shared_ptr<Constant> c = it->second;
        const std::shared_ptr<Memory> memory = memory_;
        Weights* weights = &weights_;
        auto dense = weights_.derive("d:" + c->key(), c->name(), c->type(), c->shape(), [c, memory, weights] {
            Buffer out(memory, c->bytes(), 64, "contiguous constant");
            const orr_tensor src = weights->tensor(c, true);
            const int64_t n = src.rank ? src.shape[src.rank - 1] : 1, rows = n ? elements(src) / n : 0;
            const int64_t blocks = (n + src.block_elems - 1) / src.block_elems;
            for (int64_t r = 0; r < rows; r++) {
                int64_t rest = r, from = 0;
                for (int32_t a = src.rank - 2; a >= 0; a--) from += rest % src.shape[a] * src.stride_bytes[a], rest /= src.shape[a];
                for (int64_t b = 0; b < blocks; b++)
                    std::memcpy(out.bytes() + (r * blocks + b) * src.block_bytes,
                                static_cast<const char*>(src.data) + from + b * (src.block_elems > 1 ? static_cast<int64_t>(src.block_bytes) : src.stride_bytes[src.rank - 1]), src.block_bytes);
            }
            return out;
        });
        plan_->tensors_.push_back(weights_.tensor(dense, false));
        constants_[&plan_->tensors_.back()] = dense;
        return &plan_->tensors_.back();
    }

    const orr_kernel* pick(const NodeDef& node, const std::vector<const orr_tensor*>& ins, const std::vector<const orr_tensor*>& outs, std::vector<Refusal>& refusals) const {
        const orr_prepare p = base_prepare(node, ins, outs);
        for (uint32_t k = 0; k < node.op->n_kernels; k++) {
            const orr_kernel* kernel = node.op->kernels[k];
            if (options_.device != kernel->device) continue;
            if (options_.reference && !(kernel->flags & ORR_KERNEL_REFERENCE)) {
                refusals.push_back({kernel->name, "reference kernels were asked for"});
                continue;
            }
            char reason[512] = "no reason given";
            const auto doing = [&] { return where() + ": " + node.op->id + ": kernel " + kernel->name; };
            if (!kernel->supports || ask_plugin([&] { return kernel->supports(&p, reason, sizeof reason); }, doing)) return kernel;
            refusals.push_back({kernel->name, reason});
        }
        return nullptr;
    }

    struct PrepareContext {
        orr_prepare base;
        Planner* planner;
        PlanStep* step;
        std::vector<const orr_tensor*>* ins;
    };
    static PrepareContext& context(orr_prepare* p) { return *reinterpret_cast<PrepareContext*>(p); }

    void prepare_step(const NodeDef& node, const orr_kernel& kernel, const std::vector<const orr_tensor*>& ins, const std::vector<const orr_tensor*>& outs,
                      std::vector<Refusal> refusals, const std::string& label) {
        PlanStep& step = plan_->steps_.emplace_back();
        const size_t at = plan_->steps_.size() - 1;
        step.op = node.op;
        step.kernel = &kernel;
        step.label = label;
        step.refusals = std::move(refusals);
        step.ins = ins;
        step.outs = outs;
        step.attrs = std::make_shared<NodeAttrs>(node.attrs);
        if (kernel.prepare) {
            PrepareContext c{base_prepare(node, step.ins, step.outs), this, &step, &step.ins};
            c.base.attrs = step.attrs->table();
            c.base.workspace = [](orr_prepare* p, uint64_t bytes) {
                auto& s = *context(p).step;
                s.workspace_bytes = std::max(s.workspace_bytes, bytes);
            };
            c.base.plan_memory = [](orr_prepare* p, uint64_t bytes) -> void* {
                try {
                    auto& s = *context(p).step;
                    s.memory.emplace_back(context(p).planner->memory_, bytes, 64, "plan memory");
                    std::memset(s.memory.back().data(), 0, bytes);
                    return s.memory.back().data();
                } catch (const std::exception& e) {
                    set_error_text(e.what());
                    return nullptr;
                }
            };
            c.base.prepack = [](orr_prepare* p, uint32_t input, const orr_pack* pack) { return boundary([&] { context(p).planner->prepack(context(p), input, *pack); }); };
            c.base.variant = [](orr_prepare* p, const char* name) {
                try {
                    context(p).step->variant = name;
                } catch (...) {
                }
            };
            call_plugin([&] { return kernel.prepare(&c.base); }, [&] { return where() + ": preparing " + node.op->id + (label.empty() ? "" : " (" + label + ")"); });
        }
        for (const orr_tensor*& t : step.ins)  // constants that were not packed are used where they lie
            if (t && constants_.count(t) && !t->data && t->layout == plain_) const_cast<orr_tensor*>(t)->data = const_cast<void*>(weights_.in_place(constants_[t]));
        if (node.op->flops) {
            const orr_prepare p = base_prepare(node, step.ins, step.outs);
            step.flops = ask_plugin([&] { return node.op->flops(&p); }, [&] { return where() + ": " + node.op->id; });
        }
        max_workspace_ = std::max(max_workspace_, step.workspace_bytes);
        for (const orr_tensor* t : step.ins)
            if (t) touch_last(t, at);
        for (const orr_tensor* t : step.outs)
            if (!storage_of_.count(t) && t->layout == plain_) own(const_cast<orr_tensor*>(t), at);
    }

    void prepack(PrepareContext& c, uint32_t input, const orr_pack& pack) {
        const orr_tensor* t = input < c.ins->size() ? (*c.ins)[input] : nullptr;
        const auto it = constants_.find(t);
        if (!t || it == constants_.end()) throw Error(ORR_INVALID_ARGUMENT, std::string(c.step->op->id) + ": prepack of input " + std::to_string(input) + ", which is not a constant");
        Team& team = *plan_->team_;
        const void* packed = weights_.pack(it->second, pack, [&](int64_t chunks, orr_chunk_fn fn, void* arg) {
            struct Chunk {
                const Planner* planner;
                orr_chunk_fn fn;
                void* arg;
            } each{this, fn, arg};
            team.begin();
            team.parallel_for(
                chunks,
                [](void* a, int64_t chunk, uint32_t thread) {
                    const auto& e = *static_cast<Chunk*>(a);
                    if (!e.planner->cancelled()) e.fn(e.arg, chunk, thread);
                },
                &each);
            team.end();
            check_team(team, "packing " + it->second->name() + " for " + c.step->op->id);
            if (cancelled()) throw_cancelled();  // what was packed so far is dropped
        });
        orr_tensor as = *t;
        as.layout = registry_.intern(pack.layout);
        as.data = const_cast<void*>(packed);
        as.size_bytes = pack.bytes;
        plan_->tensors_.push_back(as);
        constants_[&plan_->tensors_.back()] = it->second;
        (*c.ins)[input] = &plan_->tensors_.back();
        c.base.inputs = c.ins->data();
    }

    void plan_chain(size_t last) {
        const std::vector<size_t>& members = chains_.at(last);
        std::vector<orr_value> externals;
        std::map<orr_value, int> slots;
        std::vector<ChainStep> chain;
        std::vector<std::string> ops;
        std::vector<const orr_tensor*> ins;
        for (const size_t m : members) {
            const NodeDef& node = g_.nodes[m];
            ChainStep link{node.op->elementwise, node.attrs.table(), {}};
            for (const orr_value v : node.ins) {
                if (const auto it = slots.find(v); it != slots.end()) {
                    link.srcs.push_back(it->second);
                    continue;
                }
                auto e = std::find(externals.begin(), externals.end(), v);
                if (e == externals.end()) {
                    externals.push_back(v);
                    e = externals.end() - 1;
                    const orr_tensor* t = values_[v].tensor;
                    ins.push_back(is_contiguous(*t) ? t : add_copy(t, g_.values[v].name));
                }
                link.srcs.push_back(-static_cast<int>(e - externals.begin()) - 1);
            }
            slots[node.outs[0]] = static_cast<int>(chain.size());
            chain.push_back(link);
            ops.emplace_back(node.op->id);
        }
        const orr_value out = g_.nodes[last].outs[0];
        orr_tensor* dst = new_tensor(ORR_TYPE_F32, bound_shape(g_.values[out].dims), plain_, "elementwise chain");
        values_[out].tensor = dst;
        PlanStep& step = plan_->steps_.emplace_back();
        const size_t at = plan_->steps_.size() - 1;
        step.kind = PlanStep::Kind::chain;
        step.label = g_.values[out].name;
        step.ins = ins;
        step.outs = {dst};
        step.chain = std::move(chain);
        step.chain_ops = std::move(ops);
        step.workspace_bytes = step.chain.size() * kChainSlotBytes * plan_->team_->threads();
        max_workspace_ = std::max(max_workspace_, step.workspace_bytes);
        for (const orr_tensor* t : ins) touch_last(t, at);
        own(dst, at);
    }

    void place_memory() {
        std::vector<LayoutItem> items;
        for (auto& s : storages_) {
            plan_->unshared_bytes_ += s.item.bytes;
            items.push_back(s.item);
        }
        plan_->activation_bytes_ = lay_out(items);
        for (size_t i = 0; i < storages_.size(); i++) {
            plan_->placed_.push_back({storages_[i].tensor, items[i].offset});
            for (const auto& [t, offset] : storages_[i].views) plan_->placed_.push_back({t, items[i].offset + offset});
        }
        plan_->workspace_offset_ = (plan_->activation_bytes_ + 63) / 64 * 64;
        plan_->arena_bytes_ = plan_->workspace_offset_ + max_workspace_;
    }

    void finish_runs() {
        for (PlanStep& s : plan_->steps_) {
            orr_run& r = s.run.base;
            r.header = ORR_HEADER(orr_run);
            r.host = host_;
            r.attrs = s.attrs ? s.attrs->table() : nullptr;
            r.data = s.memory.empty() ? nullptr : s.memory[0].data();
            r.n_inputs = static_cast<uint32_t>(s.ins.size());
            r.n_outputs = static_cast<uint32_t>(s.outs.size());
            r.inputs = s.ins.data();
            r.outputs = s.outs.data();
            r.threads = plan_->team_->threads();
            r.parallel_for = [](const orr_run* run, int64_t chunks, orr_chunk_fn fn, void* arg) { reinterpret_cast<const PlanStep::Run*>(run)->team->parallel_for(chunks, fn, arg); };
            s.run.team = plan_->team_.get();
        }
    }

    const orr_host* host_;
    Registry& registry_;
    std::shared_ptr<Memory> memory_;
    Weights& weights_;
    std::shared_ptr<const PreparedProgram> prepared_;
    const Program& g_;
    const Binding& binding_;
    const PlanOptions& options_;
    std::unique_ptr<Plan> plan_;
    DimPool dims_;  // for bound shape functions
    const char* plain_ = registry_.intern("");
    const char* paged_ = registry_.intern(ORR_LAYOUT_PAGED);
    const char* rows_ = registry_.intern(ORR_LAYOUT_ROWS);
    std::vector<Bound> values_;
    std::vector<bool> live_;
    std::vector<std::string> missing_;
    std::vector<std::pair<std::string, orr_value>> wanted_;
    std::map<orr_value, orr_tensor*> next_tensors_;
    std::map<const orr_tensor*, std::shared_ptr<Constant>> constants_;
    std::map<const orr_tensor*, size_t> storage_of_;
    std::vector<Storage> storages_;
    std::map<size_t, std::vector<size_t>> chains_;
    std::vector<size_t> chain_of_;
    uint64_t max_workspace_ = 0;
};

std::unique_ptr<Plan> make_plan(const orr_host* host, Registry& registry, const std::shared_ptr<Memory>& memory, Weights& weights,
                                std::shared_ptr<const PreparedProgram> program, const Binding& binding, const PlanOptions& options, std::shared_ptr<Team> team) {
    return Planner(host, registry, memory, weights, std::move(program), binding, options, std::move(team)).make();
}

}  // namespace orrery
