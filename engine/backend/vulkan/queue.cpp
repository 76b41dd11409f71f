#include "engine/backend/vulkan/queue.hpp"

#include <algorithm>
#include <cstring>
#include <vector>

#include "orrery/plugin.hpp"

namespace orrery::vulkan {
namespace {
// A device that has not answered for so long is given up: some drivers stop a hung job without a word.
constexpr uint64_t kPatienceNs = 60'000'000'000, kSoftwarePatienceNs = 15 * kPatienceNs;  // one step of a long prompt takes a processor minutes
constexpr uint64_t kShortNs = 20'000'000;
constexpr uint32_t kMark = 0x0ddba11d;
}  // namespace

Queue::Queue(const DeviceApi& api, VkDevice device, VkQueue queue, uint32_t family, bool software, const orr_vulkan_host* host)
    : api_(api), device_(device), queue_(queue), family_(family), of_host_(host != nullptr), patience_ns_(software ? kSoftwarePatienceNs : kPatienceNs) {
    if (host) {
        lock_ = host->lock_queue;
        unlock_ = host->unlock_queue;
        user_ = host->user;
    }
    VkSemaphoreTypeCreateInfo type{};
    type.sType = VK_STRUCTURE_TYPE_SEMAPHORE_TYPE_CREATE_INFO;
    type.semaphoreType = VK_SEMAPHORE_TYPE_TIMELINE;
    VkSemaphoreCreateInfo info{};
    info.sType = VK_STRUCTURE_TYPE_SEMAPHORE_CREATE_INFO;
    info.pNext = &type;
    if (const VkResult r = api_.CreateSemaphore(device_, &info, nullptr, &timeline_); r != VK_SUCCESS) fail(r, "vkCreateSemaphore", "Vulkan queue");
}

Queue::~Queue() {
    if (mark_pool_) api_.DestroyCommandPool(device_, mark_pool_, nullptr);
    api_.DestroySemaphore(device_, timeline_, nullptr);
}

void Queue::keep_marks(std::shared_ptr<VulkanBlock> block) {
    VkCommandPoolCreateInfo pool{};
    pool.sType = VK_STRUCTURE_TYPE_COMMAND_POOL_CREATE_INFO;
    pool.queueFamilyIndex = family_;
    const auto must = [](VkResult r, const char* call) {
        if (r != VK_SUCCESS) fail(r, call, "marking the end of submissions");
    };
    must(api_.CreateCommandPool(device_, &pool, nullptr, &mark_pool_), "vkCreateCommandPool");
    VkCommandBufferAllocateInfo allocate{};
    allocate.sType = VK_STRUCTURE_TYPE_COMMAND_BUFFER_ALLOCATE_INFO;
    allocate.commandPool = mark_pool_;
    allocate.level = VK_COMMAND_BUFFER_LEVEL_PRIMARY;
    allocate.commandBufferCount = static_cast<uint32_t>(mark_commands_.size());
    must(api_.AllocateCommandBuffers(device_, &allocate, mark_commands_.data()), "vkAllocateCommandBuffers");
    for (size_t slot = 0; slot < mark_commands_.size(); slot++) {
        const VkCommandBuffer c = mark_commands_[slot];
        VkCommandBufferBeginInfo begin{};
        begin.sType = VK_STRUCTURE_TYPE_COMMAND_BUFFER_BEGIN_INFO;
        must(api_.BeginCommandBuffer(c, &begin), "vkBeginCommandBuffer");
        api_.CmdPipelineBarrier(c, VK_PIPELINE_STAGE_ALL_COMMANDS_BIT, VK_PIPELINE_STAGE_TRANSFER_BIT, 0, 0, nullptr, 0, nullptr, 0, nullptr);
        api_.CmdFillBuffer(c, block->buffer(), block->offset() + slot * 4, 4, kMark);
        VkMemoryBarrier visible{};
        visible.sType = VK_STRUCTURE_TYPE_MEMORY_BARRIER;
        visible.srcAccessMask = VK_ACCESS_TRANSFER_WRITE_BIT;
        visible.dstAccessMask = VK_ACCESS_HOST_READ_BIT;
        api_.CmdPipelineBarrier(c, VK_PIPELINE_STAGE_TRANSFER_BIT, VK_PIPELINE_STAGE_HOST_BIT, 0, 1, &visible, 0, nullptr, 0, nullptr);
        must(api_.EndCommandBuffer(c), "vkEndCommandBuffer");
    }
    std::memset(block->mapped(), 0, kMarkBytes);
    marks_ = std::move(block);
}

void Queue::check_mark(uint64_t value) {
    const size_t slot = value % mark_of_.size();
    if (mark_of_[slot] != value) return;  // looked at before
    mark_of_[slot] = 0;
    if (*static_cast<volatile uint32_t*>(mark(slot)) == kMark) return;
    throw_lost("the driver says that a submission is done, but the device has not come to its end: the driver stopped it without a word");
}

void Queue::throw_lost(const std::string& what) {
    lost_ = true;
    throw Error(ORR_DEVICE_LOST, what + (of_host_ ? "; the device is the host's: a new engine on a new device is needed" : "; a new session makes a new device"));
}

void Queue::finished(uint64_t value) {
    if (!marks_) return;
    const std::lock_guard lock(mutex_);
    check_mark(value);
}

void Queue::check(VkResult result, const char* call) {
    if (result == VK_SUCCESS) return;
    if (result == VK_ERROR_DEVICE_LOST) throw_lost(std::string("running on the device: ") + call + ": " + result_name(result) + " (" + std::to_string(result) + ")");
    fail(result, call, "running on the device");
}

Queue::Ticket Queue::submit(std::initializer_list<VkCommandBuffer> list, const DeviceExchange* exchange) {
    std::vector<VkCommandBuffer> commands;
    for (const VkCommandBuffer c : list)
        if (c) commands.push_back(c);
    std::vector<VkSemaphore> waits, signals;
    std::vector<uint64_t> wait_values, signal_values;
    if (exchange) {
        for (const DeviceSignal& s : exchange->waits) waits.push_back(static_cast<VkSemaphore>(s.semaphore)), wait_values.push_back(s.value);
        for (const DeviceSignal& s : exchange->signals) signals.push_back(static_cast<VkSemaphore>(s.semaphore)), signal_values.push_back(s.value);
    }
    const std::vector<VkPipelineStageFlags> stages(waits.size(), VK_PIPELINE_STAGE_COMPUTE_SHADER_BIT | VK_PIPELINE_STAGE_TRANSFER_BIT);
    signals.push_back(timeline_);
    const std::lock_guard lock(mutex_);
    Ticket ticket{submitted_ + 1, {}};
    signal_values.push_back(ticket.value);
    const size_t slot = ticket.value % mark_of_.size();
    if (marks_) {
        // Whoever waits for what had this slot may look at its mark later than now.
        if (const uint64_t before = mark_of_[slot]; before && !lost_) {
            if (!wait_for(before, patience_ns_)) check(VK_ERROR_DEVICE_LOST, "vkWaitSemaphores");
            check_mark(before);
        }
        *mark(slot) = 0;
        commands.push_back(mark_commands_[slot]);
    }
    VkTimelineSemaphoreSubmitInfo times{};
    times.sType = VK_STRUCTURE_TYPE_TIMELINE_SEMAPHORE_SUBMIT_INFO;
    times.waitSemaphoreValueCount = static_cast<uint32_t>(wait_values.size());
    times.pWaitSemaphoreValues = wait_values.data();
    times.signalSemaphoreValueCount = static_cast<uint32_t>(signal_values.size());
    times.pSignalSemaphoreValues = signal_values.data();
    VkSubmitInfo info{};
    info.sType = VK_STRUCTURE_TYPE_SUBMIT_INFO;
    info.pNext = &times;
    info.waitSemaphoreCount = static_cast<uint32_t>(waits.size());
    info.pWaitSemaphores = waits.data();
    info.pWaitDstStageMask = stages.data();
    info.commandBufferCount = static_cast<uint32_t>(commands.size());
    info.pCommandBuffers = commands.data();
    info.signalSemaphoreCount = static_cast<uint32_t>(signals.size());
    info.pSignalSemaphores = signals.data();
    ticket.at = std::chrono::steady_clock::now();
    if (lock_) lock_(user_);
    const VkResult result = api_.QueueSubmit(queue_, 1, &info, VK_NULL_HANDLE);
    if (unlock_) unlock_(user_);
    check(result, "vkQueueSubmit");
    submitted_ = ticket.value;
    if (marks_) mark_of_[slot] = ticket.value;
    return ticket;
}

bool Queue::wait_for(uint64_t value, uint64_t timeout_ns) {
    VkSemaphoreWaitInfo info{};
    info.sType = VK_STRUCTURE_TYPE_SEMAPHORE_WAIT_INFO;
    info.semaphoreCount = 1;
    info.pSemaphores = &timeline_;
    info.pValues = &value;
    const VkResult result = api_.WaitSemaphores(device_, &info, timeout_ns);
    if (result == VK_TIMEOUT) return false;
    check(result, "vkWaitSemaphores");
    return true;
}

uint64_t Queue::wait(const Ticket& ticket, uint64_t expected_ns) {
    wait_until(ticket, expected_ns);
    const auto now = std::chrono::steady_clock::now();
    const std::lock_guard lock(mutex_);
    if (finished_.value >= ticket.value) return 0;
    const bool known = finished_.value + 1 == ticket.value;
    const auto start = std::max(ticket.at, finished_.at);
    finished_ = {ticket.value, now};
    return known ? static_cast<uint64_t>(std::chrono::duration_cast<std::chrono::nanoseconds>(now - start).count()) : 0;
}

uint64_t Queue::value_of(void* semaphore) {
    uint64_t now = 0;
    check(api_.GetSemaphoreCounterValue(device_, static_cast<VkSemaphore>(semaphore), &now), "vkGetSemaphoreCounterValue");
    return now;
}

void Queue::check_signals(const DeviceExchange& exchange) {
    for (size_t i = 0; i < exchange.signals.size(); i++) {
        const DeviceSignal& s = exchange.signals[i];
        const auto raises = [&](uint64_t from, const std::string& what) {
            if (s.value <= from)
                throw Error(ORR_INVALID_ARGUMENT, "orr_vulkan_share: signals[" + std::to_string(i) + "] has value " + std::to_string(s.value) + ", " + what + " " + std::to_string(from) + ": a signal raises its semaphore");
        };
        raises(value_of(s.semaphore), "the semaphore stands at");
        for (const DeviceSignal& w : exchange.waits)
            if (w.semaphore == s.semaphore) raises(w.value, "the run waits for its");
        for (size_t k = 0; k < i; k++)
            if (exchange.signals[k].semaphore == s.semaphore)
                throw Error(ORR_INVALID_ARGUMENT, "orr_vulkan_share: signals[" + std::to_string(k) + "] and signals[" + std::to_string(i) + "] are of one semaphore, with values " + std::to_string(exchange.signals[k].value) +
                                                      " and " + std::to_string(s.value));
    }
}

void Queue::settle(const DeviceExchange& exchange) {
    const auto raises = [&](const DeviceSignal& s) {
        return s.value > value_of(s.semaphore) && std::none_of(exchange.waits.begin(), exchange.waits.end(), [&](const DeviceSignal& w) { return w.semaphore == s.semaphore && w.value >= s.value; });
    };
    if (std::none_of(exchange.signals.begin(), exchange.signals.end(), raises)) return;
    std::vector<VkSemaphore> waits;
    std::vector<uint64_t> values;
    for (const DeviceSignal& s : exchange.waits) waits.push_back(static_cast<VkSemaphore>(s.semaphore)), values.push_back(s.value);
    if (!waits.empty()) {
        VkSemaphoreWaitInfo info{};
        info.sType = VK_STRUCTURE_TYPE_SEMAPHORE_WAIT_INFO;
        info.semaphoreCount = static_cast<uint32_t>(waits.size());
        info.pSemaphores = waits.data();
        info.pValues = values.data();
        check(api_.WaitSemaphores(device_, &info, patience_ns_), "vkWaitSemaphores");
    }
    for (const DeviceSignal& s : exchange.signals) {
        if (!raises(s)) continue;
        VkSemaphoreSignalInfo info{};
        info.sType = VK_STRUCTURE_TYPE_SEMAPHORE_SIGNAL_INFO;
        info.semaphore = static_cast<VkSemaphore>(s.semaphore);
        info.value = s.value;
        check(api_.SignalSemaphore(device_, &info), "vkSignalSemaphore");
    }
}

void Queue::wait_until(const Ticket& ticket, uint64_t expected_ns) {
    const uint64_t value = ticket.value;
    using Clock = std::chrono::steady_clock;
    if (expected_ns > 0 && expected_ns < kShortNs) {
        const auto start = Clock::now();
        if (wait_for(value, expected_ns / 10 * 8)) return finished(value);
        const auto patience = std::chrono::nanoseconds(expected_ns / 10 * 13 + 20'000);
        while (Clock::now() - start < patience) {
            uint64_t now = 0;
            check(api_.GetSemaphoreCounterValue(device_, timeline_, &now), "vkGetSemaphoreCounterValue");
            if (now >= value) return finished(value);
        }
    }
    if (wait_for(value, patience_ns_)) return finished(value);
    throw_lost("the device has not finished a submission within " + std::to_string(patience_ns_ / 1'000'000'000) + " s");
}

}  // namespace orrery::vulkan
