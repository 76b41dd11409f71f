// One node of a plan: its shapes, its kernel, its constants.
#include "engine/plan/planner.hpp"

namespace orrery {
namespace {
constexpr uint64_t kChainSlotBytes = 1024 * sizeof(float);
}  // namespace

void Planner::open_region(uint32_t region) {
    PlanRegion& r = plan_->regions_[region];
    if (region && !r.flag) {
        const RegionDef& def = g_.regions[region];
        open_region(def.parent);
        const std::string name = g_.values[def.flag].name.empty() ? "value " + std::to_string(def.flag) : g_.values[def.flag].name;
        const orr_tensor* t = values_[def.flag].tensor;
        if (!t || t->layout != plain_) throw Error(ORR_INVALID_ARGUMENT, where() + ": begin_if hangs on " + name + ", which is no result of a node");
        if (elements(*t) != 1) throw Error(ORR_INVALID_ARGUMENT, where() + ": begin_if hangs on " + name + ", which has " + std::to_string(elements(*t)) + " elements, not one");
        region_ = region_of(t);
        r.flag = on_side(t, false, name);
        r.flag_step = storages_[storage_of_.at(r.flag)].item.first;
        r.otherwise = def.otherwise;
        r.parent = def.parent;
        r.when = (def.otherwise ? "unless " : "if ") + name + (def.parent ? ", " + plan_->regions_[def.parent].when : "");
    }
    region_ = region;
}

void Planner::plan_node(size_t n) {
    open_region(g_.nodes[n].region);
    if (chain_of_[n] != SIZE_MAX) {
        if (chain_of_[n] != n) return;
        if (!options_.device) return plan_chain(n);
        if (n < device_nodes() && plan_device_chain(chains_.at(n))) return;
        for (const size_t member : chains_.at(n)) plan_one(member);
        return;
    }
    plan_one(n);
}

void Planner::plan_one(size_t n) {
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

const orr_tensor* Planner::input_tensor(const NodeDef& node, size_t i, orr_value v) {
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

std::vector<const orr_tensor*> Planner::infer_outputs(const NodeDef& node, const std::vector<const orr_tensor*>& ins) {
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
    auto handed_on = ins.begin();  // the n-th paged result is the n-th paged input
    for (size_t i = 0; i < results.size(); i++) {
        const char* layout = registry_.intern(results[i].layout ? results[i].layout : "");
        std::vector<int64_t> shape(results[i].dims, results[i].dims + results[i].rank);
        for (auto& d : shape) d = d >= 0 ? d : dims_.evaluate(d, {});
        if (layout == paged_) {  // a state handed on
            handed_on = std::find_if(handed_on, ins.end(), [&](const orr_tensor* t) { return t && t->layout == paged_; });
            if (handed_on == ins.end()) throw Error(ORR_INTERNAL, where() + ": " + node.op->id + " gives a paged value without taking one");
            outs.push_back(*handed_on++);
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

orr_prepare Planner::base_prepare(const NodeDef& node, const std::vector<const orr_tensor*>& ins, const std::vector<const orr_tensor*>& outs) const {
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

bool Planner::try_view(const NodeDef& node, const std::vector<const orr_tensor*>& ins, std::vector<const orr_tensor*>& outs) {
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

// A kernel for the inputs as they are or, where only that helps, for contiguous copies of them.
const orr_kernel* Planner::pick_dense(const NodeDef& node, std::vector<const orr_tensor*>& ins, const std::vector<const orr_tensor*>& outs, const std::string& device, std::vector<Refusal>& refusals,
                                      const std::string& label) {
    const orr_kernel* kernel = pick(node, ins, outs, device, refusals);
    const bool strided = std::any_of(ins.begin(), ins.end(), [&](const orr_tensor* t) { return t && t->layout == plain_ && !is_contiguous(*t); });
    if (!strided || (kernel && !(kernel->flags & ORR_KERNEL_REFERENCE)) || options_.reference) return kernel;
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
    const orr_kernel* better = pick(node, dense, outs, device, again);
    if (!better || (kernel && (better->flags & ORR_KERNEL_REFERENCE))) return kernel;
    for (size_t i = 0; i < ins.size(); i++)
        if (dense[i] == &copies[i]) ins[i] = contiguous(ins[i], label);
    return better;
}

bool Planner::may_run_on_device(const NodeDef& node, const std::vector<const orr_tensor*>& ins, const std::vector<const orr_tensor*>& outs, std::string& reason) const {
    if (node_ >= device_nodes()) {
        reason = "the device has no room for more than the first " + std::to_string(device_nodes()) + " of " + std::to_string(g_.nodes.size()) + " steps";
        return false;
    }
    for (uint32_t k = 0; k < node.op->n_kernels; k++)
        if (std::string_view(node.op->kernels[k]->device) == options_.device->kind()) {
            for (const auto* list : {&ins, &outs})
                for (const orr_tensor* t : *list)
                    if (t && state_names_.count(t) && !state_on_device(t)) {
                        reason = "state " + state_names_.at(t) + " lies in the host's memory";
                        return false;
                    }
            return true;
        }
    reason = std::string("has no kernel for ") + options_.device->kind();
    return false;
}

void Planner::keep_states_on_host(const std::vector<const orr_tensor*>& tensors, const std::string& why) {
    for (const orr_tensor* t : tensors)
        if (t && state_on_device(t)) throw NeedsHostState{state_names_.at(t), why};
}

void Planner::choose_kernel(const NodeDef& node, std::vector<const orr_tensor*> ins, std::vector<const orr_tensor*>& outs) {
    const std::string label = g_.values[node.outs[0]].name;
    std::vector<Refusal> refusals;
    if (options_.device) {
        std::string reason;
        if (may_run_on_device(node, ins, outs, reason)) {
            std::vector<const orr_tensor*> there = ins;
            distrusted_.clear();
            while (const orr_kernel* kernel = pick_dense(node, there, outs, options_.device->kind(), refusals, label)) try {
                    if (!passes_self_test(node, *kernel, there, outs, refusals)) continue;
                    prepare_step(node, *kernel, there, outs, refusals, label, true);
                    return;
                } catch (const Error& e) {
                    if (e.code() != ORR_OUT_OF_MEMORY) throw;
                    refusals.push_back({kernel->name, e.what()});
                    break;
                }
        } else {
            refusals.push_back({options_.device->kind(), reason});
        }
        const std::string why = std::string(node.op->id) + ": " + (refusals.empty() ? "no kernel" : refusals.back().reason);
        keep_states_on_host(ins, why);
        keep_states_on_host(outs, why);
        for (const orr_tensor*& t : ins) t = on_side(t, false, label);
    }
    const orr_kernel* kernel = pick_dense(node, ins, outs, "cpu", refusals, label);
    if (!kernel) {
        std::string text = where() + ": no kernel for " + node.op->id + (label.empty() ? "" : " (" + label + ")");
        for (const auto& r : refusals) text += "; " + r.kernel + ": " + r.reason;
        throw Error(ORR_UNSUPPORTED, text);
    }
    prepare_step(node, *kernel, ins, outs, std::move(refusals), label, false);
}

const orr_kernel* Planner::pick(const NodeDef& node, const std::vector<const orr_tensor*>& ins, const std::vector<const orr_tensor*>& outs, const std::string& device, std::vector<Refusal>& refusals) const {
    orr_prepare p = base_prepare(node, ins, outs);
    if (device != "cpu") p.device = options_.device->kernel_table();
    for (uint32_t k = 0; k < node.op->n_kernels; k++) {
        const orr_kernel* kernel = node.op->kernels[k];
        if (device != kernel->device || distrusted_.count(kernel)) continue;
        if (options_.reference && device == "cpu" && !(kernel->flags & ORR_KERNEL_REFERENCE)) {
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

void Planner::prepare_step(const NodeDef& node, const orr_kernel& kernel, const std::vector<const orr_tensor*>& ins, const std::vector<const orr_tensor*>& outs,
                  std::vector<Refusal> refusals, const std::string& label, bool on_device) {
    PlanStep step;  // of the plan once all that may fail has been done
    step.on_device = on_device;
    step.region = region_;
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
        if (on_device) c.base.device = options_.device->kernel_table();
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
        c.base.prepack = prepack_of;
        c.base.variant = [](orr_prepare* p, const char* name) {
            try {
                context(p).step->variant = name;
            } catch (...) {
            }
        };
        call_plugin([&] { return kernel.prepare(&c.base); }, [&] { return where() + ": preparing " + node.op->id + (label.empty() ? "" : " (" + label + ")"); });
    }
    place_constants(step);
    for (const orr_tensor*& t : step.ins) t = on_side(t, on_device, label);
    const size_t at = plan_->steps_.size();
    if (node.op->flops) {
        const orr_prepare p = base_prepare(node, step.ins, step.outs);
        step.flops = ask_plugin([&] { return node.op->flops(&p); }, [&] { return where() + ": " + node.op->id; });
    }
    if (!on_device) max_workspace_ = std::max(max_workspace_, step.workspace_bytes);
    for (const orr_tensor* t : step.ins)
        if (t) touch_last(t, at);
    for (const orr_tensor* t : step.outs)
        if (!storage_of_.count(t) && t->layout == plain_) own(const_cast<orr_tensor*>(t), at, on_device);
    plan_->steps_.push_back(std::move(step));
}

// Constants that were not packed are used as they are.
void Planner::place_constants(PlanStep& step) {
    for (const orr_tensor*& t : step.ins) {
        const auto it = constants_.find(t);
        if (it == constants_.end() || t->layout != plain_) continue;
        if (!step.on_device) {
            if (!t->data) const_cast<orr_tensor*>(t)->data = const_cast<void*>(weights_.data(it->second));
            continue;
        }
        const std::shared_ptr<Constant> c = it->second;
        step.blocks.push_back(options_.device_weights->plain(c, options_.device_reserve_bytes, uploading(c->bytes())));
        orr_tensor* there = &plan_->tensors_.emplace_back(*t);
        there->buffer = step.blocks.back()->handle();
        constants_[there] = c;
        t = there;
    }
}

// Asks for leave to go on in the course of an upload of `bytes`.
DeviceProgress Planner::uploading(uint64_t bytes) {
    return [this, bytes](uint64_t done) {
        if (cancelled()) throw_cancelled();
        tell(static_cast<double>(done) / static_cast<double>(std::max<uint64_t>(bytes, 1)));
    };
}

orr_status Planner::prepack_of(orr_prepare* p, uint32_t input, const orr_pack* pack) {
    return boundary([&] { context(p).planner->prepack(context(p), input, *pack, false); });
}

// Other callers of prepare have contexts of their own.
const orr_parts* Planner::parts() {
    static constexpr orr_parts table = {
        ORR_HEADER(orr_parts),
        [](orr_prepare* p, uint32_t input, orr_part* part) { return p->prepack == prepack_of && boundary([&] { context(p).planner->find_part(context(p), input, *part); }) == ORR_OK && part->whole; },
        [](orr_prepare* p, uint32_t input, const orr_pack* pack) {
            return boundary([&] {
                if (p->prepack != prepack_of) throw Error(ORR_UNSUPPORTED, "prepack_whole: nothing here is a part of a larger constant");
                context(p).planner->prepack(context(p), input, *pack, true);
            });
        }};
    return &table;
}

// Leaves part.whole NULL where the input is no part.
void Planner::find_part(PrepareContext& c, uint32_t input, orr_part& part) {
    part.whole = nullptr;
    const auto it = constants_.find(input < c.ins->size() ? (*c.ins)[input] : nullptr);
    if (it == constants_.end() || !it->second->whole()) return;
    const Constant& constant = *it->second;
    plan_->tensors_.push_back(weights_.tensor(constant.whole(), false));
    std::copy(constant.first().begin(), constant.first().end(), part.first);
    part.whole = &plan_->tensors_.back();
}

void Planner::prepack(PrepareContext& c, uint32_t input, const orr_pack& pack, bool whole) {
    const orr_tensor* t = input < c.ins->size() ? (*c.ins)[input] : nullptr;
    const auto it = constants_.find(t);
    if (!t || it == constants_.end()) throw Error(ORR_INVALID_ARGUMENT, std::string(c.step->op->id) + ": prepack of input " + std::to_string(input) + ", which is not a constant");
    if (whole && !it->second->whole()) throw Error(ORR_INVALID_ARGUMENT, std::string(c.step->op->id) + ": prepack_whole of input " + std::to_string(input) + " (" + it->second->name() + "), which is no part");
    const std::shared_ptr<Constant> constant = whole ? it->second->whole() : it->second;
    Team& team = *plan_->team_;
    const auto parallel = [&](int64_t chunks, orr_chunk_fn fn, void* arg) {
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
        check_team(team, "packing " + constant->name() + " for " + c.step->op->id);
        if (cancelled()) throw_cancelled();  // what was packed so far is dropped
    };
    orr_tensor as = *t;
    as.layout = registry_.intern(pack.layout);
    if (c.step->on_device) {
        c.step->blocks.push_back(options_.device_weights->pack(constant, pack, options_.device_reserve_bytes, parallel, uploading(pack.bytes)));
        as.data = nullptr;
        as.buffer = c.step->blocks.back()->handle();
        as.offset = 0;
    } else {
        as.data = const_cast<void*>(weights_.pack(constant, pack, parallel));
    }
    as.size_bytes = pack.bytes;
    plan_->tensors_.push_back(as);
    constants_[&plan_->tensors_.back()] = it->second;
    (*c.ins)[input] = &plan_->tensors_.back();
    c.base.inputs = c.ins->data();
}

void Planner::plan_chain(size_t last) {
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
    step.region = region_;
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

}  // namespace orrery
