// The part of a plan that concerns a device: recording its steps, and running what was recorded.
#include <algorithm>
#include <cstring>

#include "engine/plan/plan.hpp"
#include "engine/registry/error_text.hpp"

namespace orrery {
namespace {

constexpr size_t kMostRecordings = 4;

uint64_t span_bytes(const orr_tensor& t) {
    uint64_t last = t.block_bytes;
    for (int32_t i = 0; i < t.rank; i++) {
        const int64_t n = i + 1 == t.rank ? (t.shape[i] + t.block_elems - 1) / t.block_elems : t.shape[i];
        if (n == 0) return 0;
        last += static_cast<uint64_t>(n - 1) * static_cast<uint64_t>(t.stride_bytes[i]);
    }
    return last;
}

}  // namespace

void Plan::place(void* arena, std::shared_ptr<DeviceBlock> host, std::shared_ptr<DeviceBlock> work) {
    arena_ = arena;
    for (const Placed& p : placed_) p.tensor->data = static_cast<char*>(arena) + p.offset;
    for (PlanStep& s : steps_)
        if (!s.on_device) s.run.base.workspace = static_cast<char*>(arena) + workspace_offset_ + s.workspace_offset;
    if (!device_) return;
    host_block_ = std::move(host);
    work_ = std::move(work);
    const auto point = [](const std::vector<Placed>& list, const std::shared_ptr<DeviceBlock>& block) {
        for (const Placed& p : list) {  // none where there is no block
            p.tensor->data = nullptr;
            p.tensor->buffer = block->handle();
            p.tensor->offset = p.offset;
        }
    };
    point(work_placed_, work_);
    point(step_placed_, step_block_);
    recordings_.clear();
    recording_ = nullptr;
}

Plan::~Plan() { settle_exchange(); }

std::shared_ptr<DeviceBlock> Plan::block_of(const orr_tensor& t) const {
    for (const auto* block : {&work_, &step_block_})
        if (*block && (*block)->handle() == t.buffer) return *block;
    for (const auto& block : imports_)
        if (block && block->handle() == t.buffer) return block;
    throw Error(ORR_INTERNAL, "a tensor of a plan lies in no block of its");
}

void Plan::ready(std::vector<std::shared_ptr<DeviceBlock>> given) {
    if (!device_) return;
    imports_ = std::move(given);
    const auto& imports = imports_;
    for (const ImportedPlaced& p : imported_placed_) {
        p.tensor->data = nullptr;
        p.tensor->buffer = imports.at(p.input)->handle();
        p.tensor->offset = p.offset;
    }
    std::vector<uint64_t> addresses;
    for (const auto& block : imports) addresses.push_back(block ? block->address() : 0);
    auto known = std::find_if(recordings_.begin(), recordings_.end(), [&](const Recording& r) { return r.addresses == addresses; });
    if (known == recordings_.end()) {
        recording_ = nullptr;
        if (recordings_.size() >= kMostRecordings)
            recordings_.erase(std::min_element(recordings_.begin(), recordings_.end(), [](const Recording& a, const Recording& b) { return a.last_used < b.last_used; }));
        Recording fresh{std::move(addresses), device_->new_program(profile_), {}, 0, {}};
        record(fresh);
        recordings_.push_back(std::move(fresh));
        known = recordings_.end() - 1;
    } else if (known->program->wants_recording()) {
        recording_ = nullptr;
        try {
            record(*known);
        } catch (...) {
            recordings_.erase(known);
            throw;
        }
    }
    recording_ = &*known;
    recording_->last_used = ++clock_;
}

// What a step touches. A state counts as a whole: its pages are nobody else's.
std::vector<DeviceRange> Plan::ranges(const std::vector<const orr_tensor*>& tensors, bool written) const {
    std::vector<DeviceRange> out;
    for (const orr_tensor* t : tensors) {
        if (!t || !t->buffer || (t->flags & ORR_TENSOR_CONSTANT)) continue;
        if (*t->layout)
            out.push_back({t, 0, 1});
        else if (written || t->buffer != (step_block_ ? step_block_->handle() : nullptr))  // kernels do not write the step block
            out.push_back({t->buffer, t->offset, t->offset + span_bytes(*t)});
    }
    return out;
}

void Plan::record_step(PlanStep& step) {
    if (step.kind == PlanStep::Kind::chain) {
        uint64_t bytes = step.outs[0]->size_bytes;
        for (const orr_tensor* t : step.ins) bytes += t->size_bytes;
        device_program_->step(ranges(step.ins, false), ranges(step.outs, true), 0, device_->cost_ns(0, bytes));
        device_program_->chain(*step.expression, step.ins, *step.outs[0]);
        return;
    }
    if (step.kind != PlanStep::Kind::kernel) {
        const bool up = step.kind == PlanStep::Kind::upload;
        const orr_tensor &src = *step.ins[0], &dst = *step.outs[0];
        const uint64_t at = host_offset(up ? src : dst);
        const DeviceRange host{host_block_->handle(), at, at + src.size_bytes};
        const DeviceRange there{work_->handle(), (up ? dst : src).offset, (up ? dst : src).offset + src.size_bytes};
        device_program_->step({up ? host : there}, {up ? there : host}, 0, device_->cost_ns(0, src.size_bytes));
        if (up)
            device_program_->copy(*host_block_, at, *work_, dst.offset, src.size_bytes);
        else
            device_program_->copy(*work_, src.offset, *host_block_, at, src.size_bytes);
        return;
    }
    auto reads = ranges(step.ins, false), writes = ranges(step.outs, true);
    uint64_t workspace = 0;
    if (step.workspace_bytes) {
        workspace = work_->address() + step.workspace_offset;
        writes.push_back({work_->handle(), step.workspace_offset, step.workspace_offset + step.workspace_bytes});
    }
    uint64_t bytes = 0;
    for (const auto* list : {&step.ins, &step.outs})
        for (const orr_tensor* t : *list)
            if (t && !*t->layout) bytes += t->size_bytes;
    device_program_->step(reads, writes, workspace, device_->cost_ns(step.flops, bytes));
    step.run.base.device = device_program_->recorder();
    call_plugin([&] { return step.kernel->run(&step.run.base); }, [&] { return step.name(); });
}

void Plan::record(Recording& r) {
    device_program_ = r.program.get();
    for (const bool collect : {true, false}) {
        device_program_->begin(collect);
        r.units.clear();
        size_t parts = 0;
        uint32_t region = 0;
        r.flag_units.assign(regions_.size(), 0);
        const auto flags_of = [&](size_t step) {  // told behind its unit
            for (size_t k = 1; k < regions_.size(); k++)
                if (regions_[k].flag && regions_[k].flag_step == step) r.flag_units[k] = SIZE_MAX;
        };
        const auto settle_flags = [&] {
            if (!r.units.empty()) std::replace(r.flag_units.begin(), r.flag_units.end(), SIZE_MAX, r.units.size() - 1);
        };
        bool by_region = false;
        const auto take_parts = [&] {
            const bool joined = by_region && !r.units.empty() && r.units.back().part;
            const size_t first = parts, now = device_program_->cut();
            for (; parts < now; parts++) r.units.push_back({true, parts, region, joined && parts == first});
            settle_flags();
            by_region = false;
        };
        for (size_t i = 0; i < steps_.size(); i++) {
            if (steps_[i].on_device) {
                if (steps_[i].region != region) take_parts(), by_region = true;
                region = steps_[i].region;
                record_step(steps_[i]);
                flags_of(i);
            } else {
                take_parts();
                r.units.push_back({false, i, steps_[i].region});
                flags_of(i);
                settle_flags();
            }
        }
        take_parts();
        device_program_->end();
    }
    recorded_++;
}

void Plan::run_part(size_t unit) {
    DeviceProgram& program = *recording_->program;
    const Unit& u = recording_->units[unit];
    if (exchange_.empty()) {
        program.run(u.index);
        return check_fault();
    }
    // The first submission takes what comes before, the last one what comes behind.
    const bool last = unit + 1 == recording_->units.size();
    DeviceExchange now;
    now.waits = exchange_.waits;
    now.before = exchange_.before;
    if (last) now.signals = exchange_.signals, now.after = exchange_.after;
    program.run(u.index, &now);
    exchange_.waits.clear();
    exchange_.before.clear();
    if (last) exchange_ = {};
    check_fault();
}

void Plan::check_fault() {
    const std::optional<DeviceFault> fault = recording_->program->take_fault();
    if (!fault) return;
    size_t k = 0;
    for (const PlanStep& s : steps_)
        if (s.on_device && k++ == fault->step) throw Error(ORR_INVALID_ARGUMENT, s.name() + ": " + fault->text);
}

// Whether the unit need not be waited for: the next one that runs is a part of its own only for its region, and is known to run by flags that
// were there before `first`, the earliest that has not been waited for.
bool Plan::goes_with(size_t first, size_t unit, size_t& next) {
    if (profile_ || !exchange_.empty()) return false;
    for (next = unit + 1; next < units(); next++) {
        const Unit& u = recording_->units[next];
        if (!u.part || !u.by_region) return false;
        for (uint32_t r = u.region; r; r = regions_[r].parent)
            if (regions_[r].taken == PlanRegion::Taken::unknown && recording_->flag_units[r] >= first) return false;
        if (takes(u.region)) return true;
    }
    return false;
}

size_t Plan::run_unit(size_t unit) {
    if (!device_) {
        if (!takes(steps_[unit].region)) return unit;
        if (steps_[unit].wave) return run_wave(unit);
        run_step(steps_[unit]);
        return unit;
    }
    if (!takes(recording_->units[unit].region)) return unit;
    const size_t first = unit;
    for (size_t next; recording_->units[unit].part && goes_with(first, unit, next); unit = next) recording_->program->start(recording_->units[unit].index);
    const Unit& u = recording_->units[unit];
    if (!u.part) {
        if (!exchange_.before.empty()) {  // what the step may read
            device_->run({exchange_.waits, {}, exchange_.before, {}});
            exchange_.waits.clear();
            exchange_.before.clear();
        }
        team_->begin();
        run_step(steps_[u.index]);
        team_->end();
        return unit;
    }
    run_part(unit);
    if (!profile_) return unit;
    const auto& times = recording_->program->step_ns();
    size_t k = 0;
    if (unit + 1 == units())
        for (PlanStep& s : steps_)
            if (s.on_device && k < times.size()) s.time_ns += times[k++], s.runs += took(s.region);
    return unit;
}

void Plan::finish_exchange() {
    if (exchange_.empty()) return;
    device_->run(exchange_);
    exchange_ = {};
}

void Plan::settle_exchange() noexcept {
    if (!exchange_.empty()) device_->settle(exchange_);
    exchange_ = {};
}

void Plan::write_step(uint64_t offset, const void* data, uint64_t bytes) {
    if (bytes == 0 || std::memcmp(step_shadow_.data() + offset, data, bytes) == 0) return;
    std::memcpy(step_shadow_.data() + offset, data, bytes);
    std::memcpy(step_block_->mapped() + offset, data, bytes);
}

}  // namespace orrery
