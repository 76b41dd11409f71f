// One queue and the timeline that counts what was submitted to it.
#pragma once
#include <array>
#include <atomic>
#include <chrono>
#include <initializer_list>
#include <memory>
#include <mutex>

#include "engine/backend/device.hpp"
#include "engine/backend/vulkan/capability.hpp"
#include "engine/backend/vulkan/memory.hpp"

namespace orrery::vulkan {

class Queue {
  public:
    // host: its lock is held around each use of the queue; or nullptr.
    Queue(const DeviceApi& api, VkDevice device, VkQueue queue, uint32_t family, bool software, const orr_vulkan_host* host);
    ~Queue();
    Queue(const Queue&) = delete;
    Queue& operator=(const Queue&) = delete;

    uint32_t family() const { return family_; }
    struct Ticket {
        uint64_t value = 0;  // that the timeline reaches when the work is done
        std::chrono::steady_clock::time_point at;
    };
    static constexpr uint64_t kMarkBytes = 64 * 4;
    // From now on the device writes a mark behind the work of each submission, into host memory of kMarkBytes: some drivers stop work that
    // takes long and signal its end all the same (llama.cpp issue 27634). Throws what failed.
    void keep_marks(std::shared_ptr<VulkanBlock> block);
    // One submission of the command buffers that are not null, in this order; of exchange only the semaphores.
    Ticket submit(std::initializer_list<VkCommandBuffer> commands, const DeviceExchange* exchange = nullptr);
    // Throws Error(ORR_DEVICE_LOST) when the device went away. expected_ns: how long it took the last time, 0 when unknown: short
    // work is slept through for the most part and then looked for without sleeping, since waking up takes long itself. Returns how long the
    // work took by itself, behind what was submitted here before; 0 when that is not known.
    uint64_t wait(const Ticket& ticket, uint64_t expected_ns);
    // Throws Error(ORR_INVALID_ARGUMENT) where a signal would not raise its semaphore.
    void check_signals(const DeviceExchange& exchange);
    // Waits, then gives those signals that raise their semaphores, both from here. Throws when that fails.
    void settle(const DeviceExchange& exchange);
    bool lost() const { return lost_.load(std::memory_order_relaxed); }

  private:
    void check(VkResult result, const char* call);
    void wait_until(const Ticket& ticket, uint64_t expected_ns);
    bool wait_for(uint64_t value, uint64_t timeout_ns);  // whether it was reached
    uint32_t* mark(size_t slot) const { return reinterpret_cast<uint32_t*>(marks_->mapped()) + slot; }
    void check_mark(uint64_t value);                     // with the mutex held
    uint64_t value_of(void* semaphore);
    [[noreturn]] void throw_lost(const std::string& what);
    void finished(uint64_t value);
    DeviceApi api_;
    VkDevice device_;
    VkQueue queue_;
    uint32_t family_;
    bool of_host_;
    uint64_t patience_ns_;
    void (*lock_)(void*) = nullptr;
    void (*unlock_)(void*) = nullptr;
    void* user_ = nullptr;
    VkSemaphore timeline_ = VK_NULL_HANDLE;
    std::mutex mutex_;
    uint64_t submitted_ = 0;
    Ticket finished_;  // the last that was waited for, and when that was over
    std::atomic<bool> lost_{false};
    std::shared_ptr<VulkanBlock> marks_;
    VkCommandPool mark_pool_ = VK_NULL_HANDLE;
    std::array<VkCommandBuffer, kMarkBytes / 4> mark_commands_{};
    std::array<uint64_t, kMarkBytes / 4> mark_of_{};  // the submission whose mark has not been looked at, 0: none
};

}  // namespace orrery::vulkan
