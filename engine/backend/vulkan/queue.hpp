// One queue and the timeline that counts what was submitted to it.
#pragma once
#include <atomic>
#include <mutex>

#include "engine/backend/vulkan/capability.hpp"

namespace orrery::vulkan {

class Queue {
  public:
    // host: its lock is held around each use of the queue; or nullptr.
    Queue(const DeviceApi& api, VkDevice device, VkQueue queue, uint32_t family, const orr_vulkan_host* host);
    ~Queue();
    Queue(const Queue&) = delete;
    Queue& operator=(const Queue&) = delete;

    uint32_t family() const { return family_; }
    // Returns the value that the timeline reaches when the work is done.
    uint64_t submit(VkCommandBuffer commands);
    // Throws Error(ORR_DEVICE_LOST) when the device went away. expected_ns: how long it took the last time, 0 when unknown: short
    // work is slept through for the most part and then looked for without sleeping, since waking up takes long itself.
    void wait(uint64_t value, uint64_t expected_ns);
    bool lost() const { return lost_.load(std::memory_order_relaxed); }

  private:
    void check(VkResult result, const char* call);
    bool wait_for(uint64_t value, uint64_t timeout_ns);  // whether it was reached
    DeviceApi api_;
    VkDevice device_;
    VkQueue queue_;
    uint32_t family_;
    void (*lock_)(void*) = nullptr;
    void (*unlock_)(void*) = nullptr;
    void* user_ = nullptr;
    VkSemaphore timeline_ = VK_NULL_HANDLE;
    std::mutex mutex_;
    uint64_t submitted_ = 0;
    std::atomic<bool> lost_{false};
};

}  // namespace orrery::vulkan
