// One Vulkan device of an engine.
#pragma once
#include <memory>
#include <mutex>
#include <string>

#include "engine/backend/device.hpp"
#include "engine/backend/vulkan/chain_shader.hpp"
#include "engine/backend/vulkan/instance.hpp"
#include "engine/backend/vulkan/memory.hpp"
#include "engine/backend/vulkan/pace.hpp"
#include "engine/backend/vulkan/pipeline.hpp"
#include "engine/backend/vulkan/queue.hpp"
#include "engine/backend/vulkan/transfers.hpp"
#include "engine/backend/vulkan/trust.hpp"

namespace orrery::vulkan {

class VulkanDevice : public Device, public std::enable_shared_from_this<VulkanDevice> {
  public:
    struct Options {
        uint64_t budget_bytes = 0;
        std::string cache_dir;
        const orr_vulkan_host* host = nullptr;
        uint64_t submission_ns = 100'000'000;  // the longest that one should take: drivers stop what holds a screen up
        bool self_test = true;
        std::vector<std::string> without_shaders;
        std::shared_ptr<ShaderTrust> trust;  // of the device that this one takes the place of, or nullptr
    };
    // index: among instance->physical_devices(). Throws Error with the reason when the device cannot be used.
    VulkanDevice(std::shared_ptr<Instance> instance, size_t index, const Options& options);

    const std::string& id() const override { return id_; }
    const char* kind() const override { return "vulkan"; }
    const void* kernel_table() const override { return &capability_.table; }
    bool lost() const override { return queue_->lost(); }
    std::shared_ptr<DeviceBlock> allocate(uint64_t bytes, DeviceUse use, const char* what, uint64_t beside) override { return memory_->allocate(bytes, use, what, shared_from_this(), beside); }
    void write(const DeviceBlock& dst, uint64_t offset, const void* src, uint64_t bytes, const DeviceProgress& progress) override;
    void read(const DeviceBlock& src, uint64_t offset, void* dst, uint64_t bytes) override;
    void copy(const DeviceBlock& src, uint64_t src_offset, const DeviceBlock& dst, uint64_t dst_offset, uint64_t bytes) override;
    void fill_zero(const DeviceBlock& dst, uint64_t offset, uint64_t bytes) override;
    std::unique_ptr<DeviceProgram> new_program(bool timed) override;
    bool shared_with_host() const override { return !handle_.own; }
    std::shared_ptr<DeviceBlock> import_buffer(const void* buffer, uint64_t bytes, bool written, const std::string& what) override;
    void run(const DeviceExchange& exchange) override { transfers_->run(exchange); }
    void check_signals(const DeviceExchange& exchange) override { queue_->check_signals(exchange); }
    void settle(const DeviceExchange& exchange) noexcept override;
    uint64_t free_bytes() const override { return memory_->free_bytes(); }
    uint64_t cost_ns(uint64_t flops, uint64_t bytes) const override;
    nlohmann::ordered_json describe() const override;
    bool takes_chain(const Expression& expression, const std::vector<const orr_tensor*>& ins, const orr_tensor& dst, std::string& reason) const override;
    const std::shared_ptr<ShaderTrust>& trust() const { return trust_; }
    std::mutex* self_testing() override { return trust_->tests() ? &trust_->testing() : nullptr; }
    bool knows_test(const std::string& test) const override { return trust_->knows(test); }
    void remember_test(const std::string& test) override { trust_->remember(test); }

    // What a device would be described with that nobody has opened: looks, and makes nothing.
    static nlohmann::ordered_json describe_closed(const Instance& instance, size_t index);

  private:
    // Goes when all below it has gone, also where the constructor fails half-way.
    struct Handle {
        ~Handle() {
            if (own && device && destroy) destroy(device, nullptr);
        }
        VkDevice device = VK_NULL_HANDLE;
        PFN_vkDestroyDevice destroy = nullptr;
        bool own = true;
    };
    void make_device(VkPhysicalDevice physical);
    std::shared_ptr<Instance> instance_;
    std::string id_;
    Capability capability_;
    Handle handle_;
    std::shared_ptr<ShaderTrust> trust_;
    DeviceApi api_;
    Pace pace_;
    std::unique_ptr<Queue> queue_;
    std::unique_ptr<Pipelines> pipelines_;
    ChainShaders chains_;
    bool keep_special_ = false;  // SignedZeroInfNanPreserve for f32
    std::shared_ptr<VulkanMemory> memory_;
    std::unique_ptr<Transfers> transfers_;
};

}  // namespace orrery::vulkan
