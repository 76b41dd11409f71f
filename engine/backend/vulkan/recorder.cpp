#include "engine/backend/vulkan/recorder.hpp"

#include <algorithm>
#include <chrono>
#include <cstring>
#include <utility>

#include "engine/backend/vulkan/transfers.hpp"
#include "engine/registry/error_text.hpp"
#include "orrery/plugin.hpp"
#include "orrery/vulkan.hpp"

namespace orrery::vulkan {
namespace {

constexpr int kMostCutAgain = 2;
constexpr uint32_t kMostSpans = 1024;  // parts that are measured
constexpr uint32_t kMostQueries = 8192;

bool overlap(const std::vector<DeviceRange>& a, const std::vector<DeviceRange>& b) {
    for (const DeviceRange& x : a)
        for (const DeviceRange& y : b)
            if (x.block == y.block && x.begin < y.end && y.begin < x.end) return true;
    return false;
}

std::string with_number(std::string text, const std::string& name, int64_t number) {
    for (size_t at = 0; (at = text.find(name, at)) != std::string::npos;) text.replace(at, name.size(), std::to_string(number));
    return text;
}

}  // namespace

Recorder::Recorder(std::shared_ptr<Device> owner, const Parts& parts, bool timed) : owner_(std::move(owner)), parts_(parts), timed_(timed && parts.capability.timestamp_ns > 0) {
    table_.self = this;
    table_.base = {ORR_HEADER(orr_vulkan_recorder), &parts_.capability.table, 0,
                   [](const orr_vulkan_recorder* r, const orr_vulkan_dispatch* d) { return boundary([&] { reinterpret_cast<const Table*>(r)->self->dispatch(*d); }); },
                   [](const orr_vulkan_recorder* r) { reinterpret_cast<const Table*>(r)->self->barrier_inside(); },
                   [](const orr_vulkan_recorder* r, uint32_t n) { return reinterpret_cast<const Table*>(r)->self->zeros(n); },
                   [](const orr_vulkan_recorder* r, const char* text) { return reinterpret_cast<const Table*>(r)->self->fault(text); }};
    VkCommandPoolCreateInfo info{};
    info.sType = VK_STRUCTURE_TYPE_COMMAND_POOL_CREATE_INFO;
    info.flags = VK_COMMAND_POOL_CREATE_RESET_COMMAND_BUFFER_BIT;
    info.queueFamilyIndex = parts_.queue.family();
    if (const VkResult r = parts_.api.CreateCommandPool(parts_.device, &info, nullptr, &pool_); r != VK_SUCCESS) fail(r, "vkCreateCommandPool", "recording a plan");
}

Recorder::~Recorder() {
    if (queries_) parts_.api.DestroyQueryPool(parts_.device, queries_, nullptr);
    if (spans_) parts_.api.DestroyQueryPool(parts_.device, spans_, nullptr);
    parts_.api.DestroyCommandPool(parts_.device, pool_, nullptr);
}

void Recorder::begin(bool collect) {
    collect_ = collect;
    if (collect) wanted_.clear();
    read_.clear();
    written_.clear();
    stamps_.clear();
    barriers_ = 0;
    if (!collect && zeros_wanted_ > 0) {
        if (!zeros_ || zeros_->bytes() < zeros_wanted_) zeros_ = owner_->allocate(zeros_wanted_, DeviceUse::state, "counters");
        owner_->fill_zero(*zeros_, 0, zeros_wanted_);
    }
    zeros_wanted_ = zeros_given_ = 0;
    if (!collect && !faults_.empty()) {
        const uint64_t bytes = faults_.size() * sizeof(orr_vulkan_fault);
        if (!faults_block_ || faults_block_->bytes() < bytes) faults_block_ = owner_->allocate(bytes, DeviceUse::result, "faults of steps");
        std::memset(faults_block_->mapped(), 0, faults_block_->bytes());
    }
    faults_.clear();
    memory_short_ = false;
    steps_ = 0;
    if (!collect && cut_anew_) cut_again_++, cut_anew_ = false;
    scale_ = parts_.pace.scale();
    loads_.clear();
    expected_ns_.clear();
    if (!buffers_.empty()) parts_.api.FreeCommandBuffers(parts_.device, pool_, static_cast<uint32_t>(buffers_.size()), buffers_.data());
    buffers_.clear();
    current_ = VK_NULL_HANDLE;
    if (timed_ && !queries_) {
        VkQueryPoolCreateInfo info{};
        info.sType = VK_STRUCTURE_TYPE_QUERY_POOL_CREATE_INFO;
        info.queryType = VK_QUERY_TYPE_TIMESTAMP;
        info.queryCount = kMostQueries;
        if (parts_.api.CreateQueryPool(parts_.device, &info, nullptr, &queries_) != VK_SUCCESS) timed_ = false;
    }
    if (parts_.shared && parts_.capability.timestamp_ns > 0 && !spans_) {
        VkQueryPoolCreateInfo info{};
        info.sType = VK_STRUCTURE_TYPE_QUERY_POOL_CREATE_INFO;
        info.queryType = VK_QUERY_TYPE_TIMESTAMP;
        info.queryCount = 2 * kMostSpans;
        if (parts_.api.CreateQueryPool(parts_.device, &info, nullptr, &spans_) != VK_SUCCESS) spans_ = VK_NULL_HANDLE;
    }
}

void Recorder::open() {
    if (current_ || collect_) return;
    VkCommandBufferAllocateInfo info{};
    info.sType = VK_STRUCTURE_TYPE_COMMAND_BUFFER_ALLOCATE_INFO;
    info.commandPool = pool_;
    info.level = VK_COMMAND_BUFFER_LEVEL_PRIMARY;
    info.commandBufferCount = 1;
    VkCommandBuffer fresh = VK_NULL_HANDLE;
    if (const VkResult r = parts_.api.AllocateCommandBuffers(parts_.device, &info, &fresh); r != VK_SUCCESS) fail(r, "vkAllocateCommandBuffers", "recording a plan");
    buffers_.push_back(fresh);
    loads_.emplace_back();
    VkCommandBufferBeginInfo begin{};
    begin.sType = VK_STRUCTURE_TYPE_COMMAND_BUFFER_BEGIN_INFO;
    if (const VkResult r = parts_.api.BeginCommandBuffer(fresh, &begin); r != VK_SUCCESS) fail(r, "vkBeginCommandBuffer", "recording a plan");
    current_ = fresh;
    bound_ = VK_NULL_HANDLE;
    read_.clear();
    written_.clear();
    cost_ns_ = 0;
    if (timed_ && buffers_.size() == 1) parts_.api.CmdResetQueryPool(current_, queries_, 0, kMostQueries);
    if (const auto part = static_cast<uint32_t>(buffers_.size() - 1); spans_ && part < kMostSpans) {
        parts_.api.CmdResetQueryPool(current_, spans_, 2 * part, 2);
        parts_.api.CmdWriteTimestamp(current_, VK_PIPELINE_STAGE_BOTTOM_OF_PIPE_BIT, spans_, 2 * part);
    }
}

void Recorder::close() {
    if (!current_) return;
    stamp();
    // What the host reads next, or a later submission of another program.
    VkMemoryBarrier visible{};
    visible.sType = VK_STRUCTURE_TYPE_MEMORY_BARRIER;
    visible.srcAccessMask = VK_ACCESS_SHADER_WRITE_BIT | VK_ACCESS_TRANSFER_WRITE_BIT;
    visible.dstAccessMask = VK_ACCESS_HOST_READ_BIT | VK_ACCESS_SHADER_READ_BIT | VK_ACCESS_SHADER_WRITE_BIT | VK_ACCESS_TRANSFER_READ_BIT | VK_ACCESS_TRANSFER_WRITE_BIT;
    constexpr VkPipelineStageFlags kWork = VK_PIPELINE_STAGE_COMPUTE_SHADER_BIT | VK_PIPELINE_STAGE_TRANSFER_BIT;
    parts_.api.CmdPipelineBarrier(current_, kWork, kWork | VK_PIPELINE_STAGE_HOST_BIT, 0, 1, &visible, 0, nullptr, 0, nullptr);
    if (const auto part = static_cast<uint32_t>(buffers_.size() - 1); spans_ && part < kMostSpans)
        parts_.api.CmdWriteTimestamp(current_, VK_PIPELINE_STAGE_BOTTOM_OF_PIPE_BIT, spans_, 2 * part + 1);
    const VkResult r = parts_.api.EndCommandBuffer(current_);
    current_ = VK_NULL_HANDLE;
    if (r != VK_SUCCESS) fail(r, "vkEndCommandBuffer", "recording a plan");
}

void Recorder::barrier() {
    if (!current_) return;
    VkMemoryBarrier all{};
    all.sType = VK_STRUCTURE_TYPE_MEMORY_BARRIER;
    all.srcAccessMask = VK_ACCESS_SHADER_WRITE_BIT | VK_ACCESS_TRANSFER_WRITE_BIT;
    all.dstAccessMask = VK_ACCESS_SHADER_READ_BIT | VK_ACCESS_SHADER_WRITE_BIT | VK_ACCESS_TRANSFER_READ_BIT | VK_ACCESS_TRANSFER_WRITE_BIT;
    constexpr VkPipelineStageFlags kWork = VK_PIPELINE_STAGE_COMPUTE_SHADER_BIT | VK_PIPELINE_STAGE_TRANSFER_BIT;
    parts_.api.CmdPipelineBarrier(current_, kWork, kWork, 0, 1, &all, 0, nullptr, 0, nullptr);
    read_.clear();
    written_.clear();
    barriers_++;
}

// Between dispatches of one step: what follows still belongs to it.
void Recorder::barrier_inside() {
    barrier();
    read_ = step_reads_;
    written_ = step_writes_;
}

// How many are wanted is known once the dispatches have been collected.
uint64_t Recorder::zeros(uint32_t n) {
    const uint64_t bytes = (uint64_t{n} * 4 + 255) / 256 * 256, at = zeros_given_;
    zeros_wanted_ += bytes;
    zeros_given_ += bytes;
    if (collect_) return 256;
    if (!zeros_ || zeros_given_ > zeros_->bytes()) {
        memory_short_ = true;
        return 0;
    }
    return zeros_->address() + at;
}

uint64_t Recorder::fault(const char* text) {
    const uint64_t at = faults_.size() * sizeof(orr_vulkan_fault);
    const bool room = collect_ || (faults_block_ && at + sizeof(orr_vulkan_fault) <= faults_block_->bytes());
    if (!room || boundary([&] { faults_.push_back({steps_ - 1, text}); }) != ORR_OK) {
        memory_short_ = true;
        return 0;
    }
    return collect_ ? 256 : faults_block_->address() + at;
}

std::optional<DeviceFault> Recorder::take_fault() {
    std::optional<DeviceFault> first;
    for (size_t i = 0; i < faults_.size(); i++) {
        auto& told = reinterpret_cast<volatile orr_vulkan_fault*>(faults_block_->mapped())[i];  // the device writes it
        if (!told.set) continue;
        if (!first) first = {faults_[i].step, with_number(with_number(faults_[i].text, "{value}", told.value), "{place}", told.place)};
        told.set = 0;
        told.place = 0;
        told.value = 0;
    }
    return first;
}

void Recorder::stamp() {
    if (!timed_ || !current_ || stamps_.size() + 1 >= kMostQueries) return;
    parts_.api.CmdWriteTimestamp(current_, VK_PIPELINE_STAGE_BOTTOM_OF_PIPE_BIT, queries_, static_cast<uint32_t>(stamps_.size()));
    stamps_.push_back(static_cast<uint32_t>(buffers_.size()));
}

void Recorder::step(const std::vector<DeviceRange>& reads, const std::vector<DeviceRange>& writes, uint64_t workspace, uint64_t cost_ns) {
    const auto scaled = static_cast<uint64_t>(static_cast<double>(cost_ns) * scale_);
    if (current_ && cost_ns_ > 0 && cost_ns_ + scaled > parts_.pace.part_ns()) cut();
    open();
    cost_ns_ += scaled;
    if (!loads_.empty()) loads_.back().guess_ns += cost_ns, loads_.back().steps++;
    table_.base.workspace = workspace;
    steps_++;
    if (overlap(reads, written_) || overlap(writes, written_) || overlap(writes, read_)) barrier();
    stamp();
    step_reads_ = reads;
    step_writes_ = writes;
    read_.insert(read_.end(), reads.begin(), reads.end());
    written_.insert(written_.end(), writes.begin(), writes.end());
}

orr_status Recorder::dispatch(const orr_vulkan_dispatch& d) {
    const orr_vulkan_device& t = parts_.capability.table;
    if (memory_short_) throw Error(ORR_INTERNAL, "recording a plan: more counters or faults were asked for than when its dispatches were collected");
    if (!d.shader || !d.shader->code) throw Error(ORR_UNSUPPORTED, std::string("shader ") + (d.shader ? d.shader->name : "?") + " was left out of this build");
    const std::string name = d.shader->name;
    if ((d.shader->features & t.features) != d.shader->features) throw Error(ORR_UNSUPPORTED, "shader " + name + " needs features that " + t.name + " lacks");
    if (d.push_bytes > std::min(t.push_bytes, 256u) || d.push_bytes % 4) throw Error(ORR_INVALID_ARGUMENT, "shader " + name + ": " + std::to_string(d.push_bytes) + " bytes of push constants");
    for (int i = 0; i < 3; i++)
        if (d.groups[i] > t.groups[i])
            throw Error(ORR_UNSUPPORTED, "shader " + name + ": " + std::to_string(d.groups[i]) + " workgroups along axis " + std::to_string(i) + ", the device takes " + std::to_string(t.groups[i]));
    PipelineKey key{d.shader, {d.constants, d.constants + d.n_constants}};
    if (collect_) {
        wanted_.push_back(std::move(key));
        return ORR_OK;
    }
    if (d.groups[0] == 0 || d.groups[1] == 0 || d.groups[2] == 0) return ORR_OK;
    const VkPipeline pipeline = parts_.pipelines.find(key);
    if (!pipeline) throw Error(ORR_INTERNAL, "shader " + name + " was not collected: a kernel records differently the second time");
    if (pipeline != bound_) parts_.api.CmdBindPipeline(current_, VK_PIPELINE_BIND_POINT_COMPUTE, pipeline);
    bound_ = pipeline;
    if (d.push_bytes) parts_.api.CmdPushConstants(current_, parts_.pipelines.layout(), VK_SHADER_STAGE_COMPUTE_BIT, 0, d.push_bytes, d.push);
    parts_.api.CmdDispatch(current_, d.groups[0], d.groups[1], d.groups[2]);
    return ORR_OK;
}

void Recorder::copy(const DeviceBlock& src, uint64_t src_offset, const DeviceBlock& dst, uint64_t dst_offset, uint64_t bytes) {
    if (collect_ || bytes == 0) return;
    const auto &from = static_cast<const VulkanBlock&>(src), &to = static_cast<const VulkanBlock&>(dst);
    const VkBufferCopy region{from.offset() + src_offset, to.offset() + dst_offset, bytes};
    parts_.api.CmdCopyBuffer(current_, from.buffer(), to.buffer(), 1, &region);
}

void Recorder::fill_zero(const DeviceBlock& dst, uint64_t offset, uint64_t bytes) {
    if (collect_ || bytes == 0) return;
    const auto& to = static_cast<const VulkanBlock&>(dst);
    parts_.api.CmdFillBuffer(current_, to.buffer(), to.offset() + offset, (bytes + 3) / 4 * 4, 0);
}

void Recorder::chain(const Expression& expression, const std::vector<const orr_tensor*>& ins, const orr_tensor& dst) {
    ChainLoop loop;
    std::string reason;
    if (!make_chain_loop(ins, dst, true, loop, reason)) throw Error(ORR_INTERNAL, "elementwise chain: " + reason);
    if (loop.n == 0) return;
    loop.form.keep_special = parts_.keep_special;
    std::vector<uint32_t> push;
    const auto put = [&](uint64_t address) { push.push_back(static_cast<uint32_t>(address)), push.push_back(static_cast<uint32_t>(address >> 32)); };
    put(orr_vulkan_address(&dst));
    for (const orr_tensor* t : ins) put(orr_vulkan_address(t));
    push.push_back(loop.n);
    push.insert(push.end(), loop.numbers.begin(), loop.numbers.end());
    const vk::Groups groups = vk::groups(vk::divide_up(loop.n, kChainGroup));
    orr_vulkan_dispatch d{ORR_HEADER(orr_vulkan_dispatch), &parts_.chains.find(expression, loop.form), nullptr, 0, push.data(), static_cast<uint32_t>(push.size() * 4), {groups.x, groups.y, groups.z}};
    dispatch(d);
}

size_t Recorder::cut() {
    if (collect_) return 0;
    close();
    return buffers_.size();
}

void Recorder::end() {
    if (collect_)
        parts_.pipelines.build(wanted_);
    else
        close();
    collect_ = false;
}

VkCommandBuffer Recorder::copies(size_t which, const std::vector<DeviceCopy>& list) {
    if (list.empty()) return VK_NULL_HANDLE;
    VkCommandBuffer& commands = copies_[which];
    if (!commands) {
        VkCommandBufferAllocateInfo info{};
        info.sType = VK_STRUCTURE_TYPE_COMMAND_BUFFER_ALLOCATE_INFO;
        info.commandPool = pool_;
        info.level = VK_COMMAND_BUFFER_LEVEL_PRIMARY;
        info.commandBufferCount = 1;
        if (const VkResult r = parts_.api.AllocateCommandBuffers(parts_.device, &info, &commands); r != VK_SUCCESS) fail(r, "vkAllocateCommandBuffers", "a run that shares tensors");
    }
    VkCommandBufferBeginInfo begin{};
    begin.sType = VK_STRUCTURE_TYPE_COMMAND_BUFFER_BEGIN_INFO;
    begin.flags = VK_COMMAND_BUFFER_USAGE_ONE_TIME_SUBMIT_BIT;
    if (const VkResult r = parts_.api.BeginCommandBuffer(commands, &begin); r != VK_SUCCESS) fail(r, "vkBeginCommandBuffer", "a run that shares tensors");
    Transfers::record_copies(parts_.api, commands, list);
    if (const VkResult r = parts_.api.EndCommandBuffer(commands); r != VK_SUCCESS) fail(r, "vkEndCommandBuffer", "a run that shares tensors");
    return commands;
}

// A part that took too long is worth recording again where that can cut it; once, parts that were cut for a device that proves faster.
void Recorder::check_length(size_t part, uint64_t took_ns) {
    const Load& load = loads_[part];
    parts_.pace.watch(load.guess_ns, took_ns);
    if (cut_again_ >= kMostCutAgain) return;
    if (took_ns > parts_.pace.bound_ns() && load.steps > 1) {
        parts_.pace.learn(load.guess_ns, took_ns);
        cut_anew_ = true;
    } else if (!joined_ && buffers_.size() > 1 && scale_ >= 2 * parts_.pace.scale()) {
        joined_ = cut_anew_ = true;
    }
}

uint64_t Recorder::span_ns(size_t part) const {
    uint64_t times[2] = {};
    if (part >= kMostSpans) return 0;
    const VkResult r = parts_.api.GetQueryPoolResults(parts_.device, spans_, static_cast<uint32_t>(2 * part), 2, sizeof times, times, 8, VK_QUERY_RESULT_64_BIT);
    return r == VK_SUCCESS && times[1] > times[0] ? static_cast<uint64_t>(static_cast<double>(times[1] - times[0]) * parts_.capability.timestamp_ns) : 0;
}

void Recorder::start(size_t part) {
    parts_.queue.submit({buffers_[part]});
    started_ = true;
}

void Recorder::run(size_t part, const DeviceExchange* exchange) {
    const bool others = std::exchange(started_, false);  // what is measured is theirs too
    const auto start = std::chrono::steady_clock::now();
    if (expected_ns_.size() != buffers_.size()) expected_ns_.assign(buffers_.size(), 0);
    const bool software = parts_.capability.table.software;  // its work needs the processor that would spin
    const bool waits = exchange && !exchange->waits.empty();  // for what takes any time
    const Queue::Ticket ticket =
        exchange ? parts_.queue.submit({copies(0, exchange->before), buffers_[part], copies(1, exchange->after)}, exchange) : parts_.queue.submit({buffers_[part]});
    const uint64_t took = parts_.queue.wait(ticket, software || waits ? 0 : expected_ns_[part]);
    if (!waits && !others) expected_ns_[part] = static_cast<uint64_t>(std::chrono::duration_cast<std::chrono::nanoseconds>(std::chrono::steady_clock::now() - start).count());
    if (others) return;
    if (spans_)
        check_length(part, span_ns(part));
    else if (!waits && !parts_.shared)
        check_length(part, took);
    if (!timed_ || part + 1 != buffers_.size() || stamps_.empty()) return;
    struct Stamp {
        uint64_t time, written;
    };
    std::vector<Stamp> times(stamps_.size());  // all there are: the parts have been waited for, and one that was left out writes none
    const VkResult r = parts_.api.GetQueryPoolResults(parts_.device, queries_, 0, static_cast<uint32_t>(times.size()), times.size() * sizeof(Stamp), times.data(), sizeof(Stamp),
                                                      VK_QUERY_RESULT_64_BIT | VK_QUERY_RESULT_WITH_AVAILABILITY_BIT);
    if (r != VK_SUCCESS && r != VK_NOT_READY) return;
    step_ns_.clear();
    // The last stamp of each part ends its last step.
    for (size_t i = 0; i + 1 < times.size(); i++)
        if (stamps_[i] == stamps_[i + 1])
            step_ns_.push_back(times[i].written && times[i + 1].written ? static_cast<uint64_t>(static_cast<double>(times[i + 1].time - times[i].time) * parts_.capability.timestamp_ns) : 0);
}

}  // namespace orrery::vulkan
