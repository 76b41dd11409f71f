// The part of a plan that concerns a device: recording its steps, and running what was recorded.
#include <algorithm>
#include <cstring>

#include "engine/plan/plan.hpp"
#include "engine/registry/error_text.hpp"

namespace orrery {
namespace {

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
        if (!s.on_device) s.run.base.workspace = static_cast<char*>(arena) + workspace_offset_;
    if (!device_) return;
    host_block_ = std::move(host);
    work_ = std::move(work);
    const auto point = [](const std::vector<Placed>& list, const std::shared_ptr<DeviceBlock>& block) {
        for (const Placed& p : list) {
            p.tensor->data = nullptr;
            p.tensor->buffer = block->handle();
            p.tensor->offset = p.offset;
        }
    };
    point(work_placed_, work_);
    point(step_placed_, step_block_);
    record();
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
    const auto label = [&] { return (step.op ? std::string(step.op->id) + ", kernel " + step.kernel->name : std::string("transfer")) + (step.label.empty() ? "" : " (" + step.label + ")"); };
    if (step.kind != PlanStep::Kind::kernel) {
        const bool up = step.kind == PlanStep::Kind::upload;
        const orr_tensor &src = *step.ins[0], &dst = *step.outs[0];
        const auto host_offset = static_cast<uint64_t>(static_cast<char*>((up ? src : dst).data) - static_cast<char*>(arena_));
        const DeviceRange host{host_block_->handle(), host_offset, host_offset + src.size_bytes};
        const DeviceRange there{work_->handle(), (up ? dst : src).offset, (up ? dst : src).offset + src.size_bytes};
        device_program_->step({up ? host : there}, {up ? there : host}, 0, device_->cost_ns(0, src.size_bytes));
        if (up)
            device_program_->copy(*host_block_, host_offset, *work_, dst.offset, src.size_bytes);
        else
            device_program_->copy(*work_, src.offset, *host_block_, host_offset, src.size_bytes);
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
    call_plugin([&] { return step.kernel->run(&step.run.base); }, label);
}

void Plan::record() {
    if (!device_program_) device_program_ = device_->new_program(profile_);
    for (const bool collect : {true, false}) {
        device_program_->begin(collect);
        units_.clear();
        size_t parts = 0;
        const auto take_parts = [&] {
            for (const size_t now = device_program_->cut(); parts < now; parts++) units_.push_back({true, parts});
        };
        for (size_t i = 0; i < steps_.size(); i++) {
            if (steps_[i].on_device) {
                record_step(steps_[i]);
            } else {
                take_parts();
                units_.push_back({false, i});
            }
        }
        take_parts();
        device_program_->end();
    }
}

void Plan::run_unit(size_t unit) {
    if (!device_) return run_step(steps_[unit]);
    const Unit& u = units_[unit];
    if (!u.part) {
        team_->begin();
        run_step(steps_[u.index]);
        team_->end();
        return;
    }
    device_program_->run(u.index);
    if (!profile_) return;
    const auto& times = device_program_->step_ns();
    size_t k = 0;
    if (unit + 1 == units_.size())
        for (PlanStep& s : steps_)
            if (s.on_device && k < times.size()) s.time_ns += times[k++], s.runs++;
}

void Plan::write_step(uint64_t offset, const void* data, uint64_t bytes) {
    if (bytes == 0 || std::memcmp(step_shadow_.data() + offset, data, bytes) == 0) return;
    std::memcpy(step_shadow_.data() + offset, data, bytes);
    std::memcpy(step_block_->mapped() + offset, data, bytes);
}

}  // namespace orrery
