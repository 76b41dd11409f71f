// Where a plan's values lie.
#include "engine/plan/planner.hpp"
#include "engine/run/state.hpp"
#include "orrery/ext/vulkan.h"

namespace orrery {

orr_tensor* Planner::new_tensor(uint32_t type, const std::vector<int64_t>& shape, const char* layout, const std::string& what) {
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

void Planner::own(orr_tensor* t, size_t first, bool on_device) {
    storage_of_[t] = storages_.size();
    storages_.push_back({t, {t->size_bytes, first, first, 0}, {}, on_device});
    storages_.back().region = region_;
}

uint32_t Planner::region_of(const orr_tensor* t) const {
    const auto it = storage_of_.find(t);
    return it == storage_of_.end() ? 0 : storages_[it->second].region;
}

bool Planner::is_on_device(const orr_tensor* t) const {
    const auto it = storage_of_.find(t);
    return it == storage_of_.end() ? state_on_device(t) : storages_[it->second].on_device;
}

PlanStep& Planner::add_transfer(PlanStep::Kind kind, const orr_tensor* src, orr_tensor* dst, const std::string& label) {
    PlanStep& step = plan_->steps_.emplace_back();
    step.kind = kind;
    step.on_device = kind != PlanStep::Kind::copy;
    step.label = label;
    step.ins = {src};
    step.outs = {dst};
    const size_t at = plan_->steps_.size() - 1;
    step.region = region_of(src);  // not its first reader's: later ones may stand elsewhere
    own(dst, at, kind == PlanStep::Kind::upload);
    storages_.back().region = step.region;
    touch_last(src, at);
    return step;
}

// The storage is copied whole, so that views of it keep their strides.
const orr_tensor* Planner::on_side(const orr_tensor* t, bool device, const std::string& label) {
    if (!t || t->layout != plain_ || constants_.count(t)) return t;
    const size_t root = storage_of_.at(t);
    if (storages_[root].on_device == device) return t;
    if (storages_[root].twin == SIZE_MAX) {
        orr_tensor* copy = &plan_->tensors_.emplace_back(*storages_[root].tensor);
        const size_t input = storages_[root].input;
        const size_t twin = storages_.size();
        if (device && input != SIZE_MAX) {
            own(copy, 0, true);  // written by the host before each run
            storages_[twin].input = input;
        } else {
            add_transfer(device ? PlanStep::Kind::upload : PlanStep::Kind::download, storages_[root].tensor, copy, label);
        }
        storages_[root].twin = twin;
        storages_[twin].twin = root;
    }
    const size_t twin = storages_[root].twin;
    if (t == storages_[root].tensor) return storages_[twin].tensor;
    uint64_t offset = 0;
    for (const auto& [view, o] : storages_[root].views)
        if (view == t) offset = o;
    orr_tensor* view = &plan_->tensors_.emplace_back(*t);
    storages_[twin].views.emplace_back(view, offset);
    storage_of_[view] = twin;
    return view;
}

void Planner::touch_last(const orr_tensor* t, size_t step) {
    const auto it = storage_of_.find(t);
    if (it == storage_of_.end()) return;
    storages_[it->second].item.last = std::max(storages_[it->second].item.last, step);
    storages_[it->second].read = true;
}

orr_tensor* Planner::add_copy(const orr_tensor* src, const std::string& label) {
    std::vector<int64_t> shape(src->shape, src->shape + src->rank);
    if (is_on_device(src)) {
        if (const orr_operator* op = registry_.operator_with(ORR_TRAIT_COPY)) {
            const NodeDef node{op, NodeAttrs(*op, "{}"), {}, {}};
            std::vector<const orr_tensor*> ins = {src}, outs = {new_tensor(src->type, shape, plain_, "copy")};
            std::vector<Refusal> refusals;
            if (const orr_kernel* kernel = pick(node, ins, outs, options_.device->kind(), refusals)) {
                prepare_step(node, *kernel, ins, outs, {}, label, true);
                return const_cast<orr_tensor*>(outs[0]);
            }
        }
        src = on_side(src, false, label);
    }
    orr_tensor* dst = new_tensor(src->type, shape, plain_, "copy");
    add_transfer(PlanStep::Kind::copy, src, dst, label);
    return dst;
}

const orr_tensor* Planner::contiguous(const orr_tensor* t, const std::string& label) {
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

void Planner::place_memory() {
    for (size_t i = 0; i < plan_->steps_.size(); i++)
        for (uint32_t r = plan_->steps_[i].region; r; r = plan_->regions_[r].parent) touch_last(plan_->regions_[r].flag, i);
    std::vector<LayoutItem> items[2];
    std::vector<size_t> of[2];
    uint64_t step_bytes = 0;
    for (size_t i = 0; i < storages_.size(); i++) {
        const Storage& s = storages_[i];
        plan_->unshared_bytes_ += s.item.bytes;
        if (!s.on_device && s.input != SIZE_MAX) plan_->inputs_[s.input].read_by_host = s.read;
        if (s.on_device && s.input != SIZE_MAX && plan_->inputs_[s.input].imported) {
            plan_->imported_placed_.push_back({s.tensor, 0, s.input});
            for (const auto& [t, offset] : s.views) plan_->imported_placed_.push_back({t, offset, s.input});
            continue;
        }
        if (s.on_device && s.input != SIZE_MAX) {
            plan_->inputs_[s.input].device_offset = step_bytes;
            plan_->step_placed_.push_back({s.tensor, step_bytes});
            for (const auto& [t, offset] : s.views) plan_->step_placed_.push_back({t, step_bytes + offset});
            step_bytes += (s.item.bytes + 63) / 64 * 64;
            continue;
        }
        items[s.on_device].push_back(s.item);
        of[s.on_device].push_back(i);
    }
    for (size_t i = 0; i < plan_->steps_.size(); i++)
        if (plan_->steps_[i].on_device && plan_->steps_[i].workspace_bytes) {
            const auto [first, last] = wave_of(i);
            items[1].push_back({plan_->steps_[i].workspace_bytes, first, last, 0});
        }
    plan_->activation_bytes_ = lay_out(items[0]);
    plan_->work_bytes_ = lay_out(items[1]);
    for (const bool on_device : {false, true}) {
        auto& placed = on_device ? plan_->work_placed_ : plan_->placed_;
        for (size_t k = 0; k < of[on_device].size(); k++) {
            const Storage& s = storages_[of[on_device][k]];
            const uint64_t at = items[on_device][k].offset;
            placed.push_back({s.tensor, at});
            for (const auto& [t, offset] : s.views) placed.push_back({t, at + offset});
        }
    }
    size_t k = of[1].size();
    for (PlanStep& s : plan_->steps_)
        if (s.on_device && s.workspace_bytes) s.workspace_offset = items[1][k++].offset;
    plan_->workspace_offset_ = (plan_->activation_bytes_ + 63) / 64 * 64;
    plan_->arena_bytes_ = plan_->workspace_offset_ + max_workspace_;
    if (options_.device) lay_out_step_block(step_bytes);
}

// Behind the inputs: for each state on the device what its kernels see of it.
void Planner::lay_out_step_block(uint64_t bytes) {
    const auto batch = static_cast<uint64_t>(plan_->batch_);
    const auto take = [&](uint64_t n) {
        const uint64_t at = bytes;
        bytes += (n + 63) / 64 * 64;
        return at;
    };
    for (PlanState& s : plan_->states_) {
        if (!s.on_device) continue;
        if (s.tensor->layout == paged_) {
            s.most_pages = s.tensor->shape[1] / kPageTokens + 2;
            s.view_offset = take(batch * sizeof(orr_vulkan_paged));
            s.pages_offset = take(batch * static_cast<uint64_t>(s.most_pages) * 8);
        } else {
            s.view_offset = take(batch * 8);
            if (s.next) plan_->step_placed_.push_back({s.next, s.next_offset = take(batch * 8)});
        }
        plan_->step_placed_.push_back({s.tensor, s.view_offset});
    }
    if (options_.device_eighths < 8) options_.device_weights->drop_unused();  // of plans that had more on the device
    if (bytes == 0) return;
    plan_->step_block_ = options_.device->allocate(bytes, DeviceUse::step, "inputs of a run");
    plan_->step_shadow_.assign(bytes, 0);
    std::memset(plan_->step_block_->mapped(), 0, bytes);
}

// Of the inputs whose numbers a device's steps read rows at.
void Planner::note_rows() {
    for (const PlanStep& s : plan_->steps_) {
        if (!s.on_device || !s.op) continue;
        for (size_t i = 0; i + 1 < s.ins.size(); i++) {
            if (!s.ins[i] || !s.ins[i + 1] || s.ins[i + 1]->rank == 0 || !(input_port(*s.op, i).flags & ORR_PORT_INDICES)) continue;
            const auto it = storage_of_.find(s.ins[i]);
            if (it == storage_of_.end() || storages_[it->second].input == SIZE_MAX) continue;
            PlanInput& in = plan_->inputs_[storages_[it->second].input];
            if (!in.imported && elements(*in.tensor) == elements(*s.ins[i])) in.rows.push_back({s.op, i, s.ins[i + 1]->shape[0]});
        }
    }
}

void Planner::finish_runs() {
    note_rows();
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
        r.device = nullptr;
        if (s.on_device) continue;  // the rest when it is recorded
        r.parallel_for = [](const orr_run* run, int64_t chunks, orr_chunk_fn fn, void* arg) { reinterpret_cast<const PlanStep::Run*>(run)->parallel_for(chunks, fn, arg); };
        s.run.team = plan_->team_.get();
    }
}

}  // namespace orrery
