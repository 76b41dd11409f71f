// Copies outside of plans, where the host does not see the device's memory: through staging buffers in turn, each of which is filled or
// emptied while the device still copies from or to the others.
#pragma once
#include <array>
#include <memory>
#include <mutex>

#include "engine/backend/vulkan/memory.hpp"
#include "engine/backend/vulkan/queue.hpp"

namespace orrery::vulkan {

class Transfers {
  public:
    static constexpr uint64_t kStagingBytes = 8 << 20;
    static constexpr size_t kStagings = 3;

    Transfers(const DeviceApi& api, VkDevice device, Queue& queue, std::shared_ptr<VulkanMemory> memory);
    ~Transfers();
    Transfers(const Transfers&) = delete;
    Transfers& operator=(const Transfers&) = delete;

    // All return when the bytes are there; a write that `progress` ends, when nothing of it is under way any more.
    void write(const DeviceBlock& dst, uint64_t offset, const char* src, uint64_t bytes, const DeviceProgress& progress);
    void read(const DeviceBlock& src, uint64_t offset, char* dst, uint64_t bytes);
    void copy(const DeviceBlock& src, uint64_t src_offset, const DeviceBlock& dst, uint64_t dst_offset, uint64_t bytes);
    void fill_zero(const DeviceBlock& dst, uint64_t offset, uint64_t bytes);
    void run(const DeviceExchange& exchange);

    // Records copies into a buffer, with what makes memory visible between them and the work before and behind.
    static void record_copies(const DeviceApi& api, VkCommandBuffer commands, const std::vector<DeviceCopy>& copies);

  private:
    struct Slot {
        VkCommandBuffer commands = VK_NULL_HANDLE;
        std::shared_ptr<VulkanBlock> staging;
        Queue::Ticket ticket;  // of what uses it; value 0: nothing
    };
    Slot& next();                        // when the device is done with it
    void stage(Slot& slot);              // a staging buffer for it
    template <class Record>
    void submit(Slot& slot, Record&& record, const DeviceExchange* exchange = nullptr);
    void finish(Slot& slot);
    DeviceApi api_;
    VkDevice device_;
    Queue& queue_;
    std::shared_ptr<VulkanMemory> memory_;
    std::mutex mutex_;
    VkCommandPool pool_ = VK_NULL_HANDLE;
    std::array<Slot, kStagings> slots_;
    size_t turn_ = 0;
};

}  // namespace orrery::vulkan
