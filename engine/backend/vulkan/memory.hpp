// Device memory: large allocations, cut into blocks.
#pragma once
#include <array>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "engine/backend/device.hpp"
#include "engine/backend/vulkan/capability.hpp"

namespace orrery::vulkan {

class VulkanMemory;

// One VkDeviceMemory with one VkBuffer over all of it.
struct Chunk {
    VkDeviceMemory memory = VK_NULL_HANDLE;
    VkBuffer buffer = VK_NULL_HANDLE;
    uint64_t address = 0, bytes = 0;
    char* mapped = nullptr;
    std::map<uint64_t, uint64_t> free;  // offset to size
};

class VulkanBlock : public DeviceBlock {
  public:
    // keep: what must outlive the block, the device.
    VulkanBlock(std::shared_ptr<void> keep, std::shared_ptr<VulkanMemory> owner, Chunk* chunk, DeviceUse use, uint64_t offset, uint64_t bytes, uint64_t taken);
    ~VulkanBlock() override;
    VulkanBlock(const VulkanBlock&) = delete;
    VulkanBlock& operator=(const VulkanBlock&) = delete;
    VkBuffer buffer() const { return chunk_->buffer; }
    uint64_t offset() const { return table_.offset; }

  private:
    std::shared_ptr<void> keep_;  // goes last
    std::shared_ptr<VulkanMemory> owner_;
    Chunk* chunk_;
    DeviceUse use_;
    uint64_t taken_;
    orr_vulkan_buffer table_{};
};

class VulkanMemory : public std::enable_shared_from_this<VulkanMemory> {
  public:
    VulkanMemory(const DeviceApi& api, VkDevice device, const Capability& capability, uint64_t budget_bytes);
    ~VulkanMemory();
    VulkanMemory(const VulkanMemory&) = delete;
    VulkanMemory& operator=(const VulkanMemory&) = delete;

    // See Device::allocate.
    std::shared_ptr<VulkanBlock> allocate(uint64_t bytes, DeviceUse use, const char* what, std::shared_ptr<void> keep, uint64_t beside = 0);
    uint64_t used_bytes() const;
    uint64_t budget_bytes() const { return budget_; }
    uint64_t free_bytes() const;

  private:
    friend class VulkanBlock;
    void give_back(Chunk* chunk, DeviceUse use, uint64_t offset, uint64_t bytes) noexcept;
    Chunk* grow(uint64_t bytes, DeviceUse use, const char* what, uint64_t beside);
    void destroy(Chunk& chunk) noexcept;
    // Weights, states and activations lie in memory of one kind: each may take what another gave back.
    std::vector<std::unique_ptr<Chunk>>& chunks_for(DeviceUse use) { return chunks_[use == DeviceUse::step ? 1 : use == DeviceUse::result ? 2 : 0]; }
    uint32_t find_type(uint32_t allowed, DeviceUse use) const;
    DeviceApi api_;
    VkDevice device_;
    const Capability& capability_;
    uint64_t budget_, used_ = 0;
    mutable std::mutex mutex_;
    std::array<std::vector<std::unique_ptr<Chunk>>, 3> chunks_;
};

}  // namespace orrery::vulkan
