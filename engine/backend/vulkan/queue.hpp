// One queue and the timeline that counts what was submitted to it.
#pragma once
#include <atomic>
#include <chrono>
#include <initializer_list>
#include <mutex>

#include "engine/backend/device.hpp"
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
    struct Ticket {
        uint64_t value = 0;  // that the timeline reaches when the work is done
        std::chrono::steady_clock::time_point at;
    };
    // One submission of the command buffers that are not null, in this order; of exchange only the semaphores.
    Ticket submit(std::initializer_list<VkCommandBuffer> commands, const DeviceExchange* exchange = nullptr);
    // Throws Error(ORR_DEVICE_LOST) when the device went away. expected_ns: how long it took the last time, 0 when unknown: short
    // work is slept through for the most part and then looked for without sleeping, since waking up takes long itself. Returns how long the
    // work took by itself, behind what was submitted here before; 0 when that is not known.
    uint64_t wait(const Ticket& ticket, uint64_t expected_ns);
    // Waits, then signals, both from here. Throws when that fails.
    void settle(const DeviceExchange& exchange);
    bool lost() const { return lost_.load(std::memory_order_relaxed); }

  private:
    void check(VkResult result, const char* call);
    void wait_until(const Ticket& ticket, uint64_t expected_ns);
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
    Ticket finished_;  // the last that was waited for, and when that was over
    std::atomic<bool> lost_{false};
};

}  // namespace orrery::vulkan
