#include "engine/backend/vulkan/queue.hpp"

#include <chrono>

#include "orrery/plugin.hpp"

namespace orrery::vulkan {
namespace {
// A device that has not answered for so long is given up: some drivers stop a hung job without a word.
constexpr uint64_t kPatienceNs = 60'000'000'000;
constexpr uint64_t kShortNs = 20'000'000;
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

Queue::~Queue() { api_.DestroySemaphore(device_, timeline_, nullptr); }

void Queue::check(VkResult result, const char* call) {
    if (result == VK_SUCCESS) return;
    if (result == VK_ERROR_DEVICE_LOST) lost_ = true;
    fail(result, call, "running on the device");
}

uint64_t Queue::submit(VkCommandBuffer commands) {
    const std::lock_guard lock(mutex_);
    const uint64_t value = submitted_ + 1;
    VkTimelineSemaphoreSubmitInfo times{};
    times.sType = VK_STRUCTURE_TYPE_TIMELINE_SEMAPHORE_SUBMIT_INFO;
    times.signalSemaphoreValueCount = 1;
    times.pSignalSemaphoreValues = &value;
    VkSubmitInfo info{};
    info.sType = VK_STRUCTURE_TYPE_SUBMIT_INFO;
    info.pNext = &times;
    info.commandBufferCount = 1;
    info.pCommandBuffers = &commands;
    info.signalSemaphoreCount = 1;
    info.pSignalSemaphores = &timeline_;
    if (lock_) lock_(user_);
    const VkResult result = api_.QueueSubmit(queue_, 1, &info, VK_NULL_HANDLE);
    if (unlock_) unlock_(user_);
    check(result, "vkQueueSubmit");
    submitted_ = value;
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
        if (wait_for(value, expected_ns / 10 * 8)) return;
        const auto patience = std::chrono::nanoseconds(expected_ns / 10 * 13 + 20'000);
        while (Clock::now() - start < patience) {
            uint64_t now = 0;
            check(api_.GetSemaphoreCounterValue(device_, timeline_, &now), "vkGetSemaphoreCounterValue");
            if (now >= value) return;
        }
    }
    if (wait_for(value, kPatienceNs)) return;
    lost_ = true;
    throw Error(ORR_DEVICE_LOST, "the device has not finished a submission within " + std::to_string(kPatienceNs / 1'000'000'000) + " s; a new session makes a new one");
}

}  // namespace orrery::vulkan
