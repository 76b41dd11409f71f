#include "engine/backend/vulkan/queue.hpp"

#include <chrono>
#include <cstring>

#include "orrery/plugin.hpp"

namespace orrery::vulkan {
namespace {
// A device that has not answered for so long is given up: some drivers stop a hung job without a word.
constexpr uint64_t kPatienceNs = 60'000'000'000;
constexpr uint64_t kShortNs = 20'000'000;
constexpr uint32_t kMark = 0x0ddba11d;
}  // namespace

Queue::Queue(const DeviceApi& api, VkDevice device, VkQueue queue, uint32_t family, const orr_vulkan_host* host) : api_(api), device_(device), queue_(queue), family_(family) {
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
    lost_ = true;
    throw Error(ORR_DEVICE_LOST, "the driver says that a submission is done, but the device has not come to its end: the driver stopped it without a word; a new session makes a new device");
}

void Queue::finished(uint64_t value) {
    if (!marks_) return;
    const std::lock_guard lock(mutex_);
    check_mark(value);
}

void Queue::check(VkResult result, const char* call) {
    if (result == VK_SUCCESS) return;
    if (result == VK_ERROR_DEVICE_LOST) lost_ = true;
    fail(result, call, "running on the device");
}

uint64_t Queue::submit(VkCommandBuffer commands) {
    const std::lock_guard lock(mutex_);
    const uint64_t value = submitted_ + 1;
    const size_t slot = value % mark_of_.size();
    VkCommandBuffer both[] = {commands, mark_commands_[slot]};
    if (marks_) {
        // Whoever waits for what had this slot may look at its mark later than now.
        if (const uint64_t before = mark_of_[slot]; before && !lost_) {
            if (!wait_for(before, kPatienceNs)) check(VK_ERROR_DEVICE_LOST, "vkWaitSemaphores");
            check_mark(before);
        }
        *mark(slot) = 0;
    }
    VkTimelineSemaphoreSubmitInfo times{};
    times.sType = VK_STRUCTURE_TYPE_TIMELINE_SEMAPHORE_SUBMIT_INFO;
    times.signalSemaphoreValueCount = 1;
    times.pSignalSemaphoreValues = &value;
    VkSubmitInfo info{};
    info.sType = VK_STRUCTURE_TYPE_SUBMIT_INFO;
    info.pNext = &times;
    info.commandBufferCount = marks_ ? 2 : 1;
    info.pCommandBuffers = both;
    info.signalSemaphoreCount = 1;
    info.pSignalSemaphores = &timeline_;
    if (lock_) lock_(user_);
    const VkResult result = api_.QueueSubmit(queue_, 1, &info, VK_NULL_HANDLE);
    if (unlock_) unlock_(user_);
    check(result, "vkQueueSubmit");
    submitted_ = value;
    if (marks_) mark_of_[slot] = value;
    return value;
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

void Queue::wait(uint64_t value, uint64_t expected_ns) {
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
    if (wait_for(value, kPatienceNs)) return finished(value);
    lost_ = true;
    throw Error(ORR_DEVICE_LOST, "the device has not finished a submission within " + std::to_string(kPatienceNs / 1'000'000'000) + " s; a new session makes a new one");
}

}  // namespace orrery::vulkan
