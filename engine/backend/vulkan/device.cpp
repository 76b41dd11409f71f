#include "engine/backend/vulkan/device.hpp"

#include <algorithm>
#include <cstring>

#include "engine/backend/vulkan/recorder.hpp"
#include "orrery/plugin.hpp"

namespace orrery::vulkan {
namespace {
constexpr uint64_t kStagingBytes = 16 << 20;
}

VulkanDevice::VulkanDevice(std::shared_ptr<Instance> instance, size_t index, const Options& options) : instance_(std::move(instance)), id_("vulkan:" + std::to_string(index)) {
    const VkPhysicalDevice physical = instance_->physical_devices().at(index);
    VkQueue queue = VK_NULL_HANDLE;
    if (options.host && options.host->device) {
        own_ = false;
        read_capability(instance_->api(), *options.host, capability_);
        device_ = static_cast<VkDevice>(options.host->device);
        queue = static_cast<VkQueue>(options.host->queue);
        api_ = load_device(instance_->api(), device_);
    } else {
        Enabled enabled;
        read_capability(instance_->api(), physical, capability_, enabled);
        const float priority = 0.5f;
        VkDeviceQueueCreateInfo q{};
        q.sType = VK_STRUCTURE_TYPE_DEVICE_QUEUE_CREATE_INFO;
        q.queueFamilyIndex = capability_.queue_family;
        q.queueCount = 1;
        q.pQueuePriorities = &priority;
        VkDeviceCreateInfo info{};
        info.sType = VK_STRUCTURE_TYPE_DEVICE_CREATE_INFO;
        info.pNext = &enabled.features;
        info.queueCreateInfoCount = 1;
        info.pQueueCreateInfos = &q;
        info.enabledExtensionCount = static_cast<uint32_t>(enabled.extensions.size());
        info.ppEnabledExtensionNames = enabled.extensions.data();
        if (const VkResult r = instance_->api().CreateDevice(physical, &info, nullptr, &device_); r != VK_SUCCESS) fail(r, "vkCreateDevice", capability_.name);
        api_ = load_device(instance_->api(), device_);
        api_.GetDeviceQueue(device_, capability_.queue_family, 0, &queue);
    }
    trust_ = options.trust ? options.trust : std::make_shared<ShaderTrust>(capability_, options.self_test, options.cache_dir);
    capability_.table.trust = trust_.get();
    capability_.table.refuses = [](const orr_vulkan_device* d, const orr_vulkan_shader* s) { return static_cast<const DeviceTable*>(d)->trust->refuses(*s); };
    queue_ = std::make_unique<Queue>(api_, device_, queue, capability_.queue_family, options.host && !own_ ? options.host : nullptr);
    pipelines_ = std::make_unique<Pipelines>(api_, device_, capability_, options.cache_dir);
    memory_ = std::make_shared<VulkanMemory>(api_, device_, capability_, options.budget_bytes);
    queue_->keep_marks(memory_->allocate(Queue::kMarkBytes, DeviceUse::result, "marks of submissions", nullptr));
    VkCommandPoolCreateInfo pool{};
    pool.sType = VK_STRUCTURE_TYPE_COMMAND_POOL_CREATE_INFO;
    pool.flags = VK_COMMAND_POOL_CREATE_RESET_COMMAND_BUFFER_BIT;
    pool.queueFamilyIndex = queue_->family();
    if (const VkResult r = api_.CreateCommandPool(device_, &pool, nullptr, &transfer_pool_); r != VK_SUCCESS) fail(r, "vkCreateCommandPool", capability_.name);
    VkCommandBufferAllocateInfo one{};
    one.sType = VK_STRUCTURE_TYPE_COMMAND_BUFFER_ALLOCATE_INFO;
    one.commandPool = transfer_pool_;
    one.level = VK_COMMAND_BUFFER_LEVEL_PRIMARY;
    one.commandBufferCount = 1;
    if (const VkResult r = api_.AllocateCommandBuffers(device_, &one, &transfer_); r != VK_SUCCESS) fail(r, "vkAllocateCommandBuffers", capability_.name);
}

VulkanDevice::~VulkanDevice() {
    staging_.reset();
    if (transfer_pool_) api_.DestroyCommandPool(device_, transfer_pool_, nullptr);
    memory_.reset();
    pipelines_.reset();
    queue_.reset();
    if (own_ && device_) api_.DestroyDevice(device_, nullptr);
}

template <class Record>
void VulkanDevice::now(Record&& record) {
    VkCommandBufferBeginInfo begin{};
    begin.sType = VK_STRUCTURE_TYPE_COMMAND_BUFFER_BEGIN_INFO;
    begin.flags = VK_COMMAND_BUFFER_USAGE_ONE_TIME_SUBMIT_BIT;
    if (const VkResult r = api_.BeginCommandBuffer(transfer_, &begin); r != VK_SUCCESS) fail(r, "vkBeginCommandBuffer", "copying");
    record(transfer_);
    VkMemoryBarrier visible{};
    visible.sType = VK_STRUCTURE_TYPE_MEMORY_BARRIER;
    visible.srcAccessMask = VK_ACCESS_TRANSFER_WRITE_BIT;
    visible.dstAccessMask = VK_ACCESS_HOST_READ_BIT | VK_ACCESS_SHADER_READ_BIT | VK_ACCESS_SHADER_WRITE_BIT | VK_ACCESS_TRANSFER_READ_BIT | VK_ACCESS_TRANSFER_WRITE_BIT;
    api_.CmdPipelineBarrier(transfer_, VK_PIPELINE_STAGE_TRANSFER_BIT, VK_PIPELINE_STAGE_HOST_BIT | VK_PIPELINE_STAGE_COMPUTE_SHADER_BIT | VK_PIPELINE_STAGE_TRANSFER_BIT, 0, 1, &visible, 0, nullptr, 0,
                            nullptr);
    if (const VkResult r = api_.EndCommandBuffer(transfer_); r != VK_SUCCESS) fail(r, "vkEndCommandBuffer", "copying");
    queue_->wait(queue_->submit(transfer_), 0);
}

void VulkanDevice::write(const DeviceBlock& dst, uint64_t offset, const void* src, uint64_t bytes) {
    if (dst.mapped()) {
        std::memcpy(dst.mapped() + offset, src, bytes);
        return;
    }
    const std::lock_guard lock(transfer_mutex_);
    if (!staging_) staging_ = memory_->allocate(kStagingBytes, DeviceUse::result, "staging", nullptr);
    const auto& to = static_cast<const VulkanBlock&>(dst);
    for (uint64_t at = 0; at < bytes; at += kStagingBytes) {
        const uint64_t n = std::min(kStagingBytes, bytes - at);
        std::memcpy(staging_->mapped(), static_cast<const char*>(src) + at, n);
        now([&](VkCommandBuffer c) {
            const VkBufferCopy region{staging_->offset(), to.offset() + offset + at, n};
            api_.CmdCopyBuffer(c, staging_->buffer(), to.buffer(), 1, &region);
        });
    }
}

void VulkanDevice::read(const DeviceBlock& src, uint64_t offset, void* dst, uint64_t bytes) {
    if (src.mapped()) {
        std::memcpy(dst, src.mapped() + offset, bytes);
        return;
    }
    const std::lock_guard lock(transfer_mutex_);
    if (!staging_) staging_ = memory_->allocate(kStagingBytes, DeviceUse::result, "staging", nullptr);
    const auto& from = static_cast<const VulkanBlock&>(src);
    for (uint64_t at = 0; at < bytes; at += kStagingBytes) {
        const uint64_t n = std::min(kStagingBytes, bytes - at);
        now([&](VkCommandBuffer c) {
            const VkBufferCopy region{from.offset() + offset + at, staging_->offset(), n};
            api_.CmdCopyBuffer(c, from.buffer(), staging_->buffer(), 1, &region);
        });
        std::memcpy(static_cast<char*>(dst) + at, staging_->mapped(), n);
    }
}

void VulkanDevice::copy(const DeviceBlock& src, uint64_t src_offset, const DeviceBlock& dst, uint64_t dst_offset, uint64_t bytes) {
    if (bytes == 0) return;
    const std::lock_guard lock(transfer_mutex_);
    const auto &from = static_cast<const VulkanBlock&>(src), &to = static_cast<const VulkanBlock&>(dst);
    now([&](VkCommandBuffer c) {
        const VkBufferCopy region{from.offset() + src_offset, to.offset() + dst_offset, bytes};
        api_.CmdCopyBuffer(c, from.buffer(), to.buffer(), 1, &region);
    });
}

void VulkanDevice::fill_zero(const DeviceBlock& dst, uint64_t offset, uint64_t bytes) {
    if (bytes == 0) return;
    const std::lock_guard lock(transfer_mutex_);
    const auto& to = static_cast<const VulkanBlock&>(dst);
    now([&](VkCommandBuffer c) { api_.CmdFillBuffer(c, to.buffer(), to.offset() + offset, (bytes + 3) / 4 * 4, 0); });
}

std::unique_ptr<DeviceProgram> VulkanDevice::new_program(bool timed) {
    return std::make_unique<Recorder>(shared_from_this(), Parts{api_, device_, capability_, *pipelines_, *queue_, *trust_}, timed);
}

uint64_t VulkanDevice::cost_ns(uint64_t flops, uint64_t bytes) const {
    // Low guesses for devices of each kind, so that submissions come out too short rather than too long.
    const orr_vulkan_device& t = capability_.table;
    const double flops_per_ns = t.software ? 10 : t.integrated ? 200 : 2000, bytes_per_ns = t.software ? 2 : t.integrated ? 20 : 150;
    return static_cast<uint64_t>(static_cast<double>(flops) / flops_per_ns + static_cast<double>(bytes) / bytes_per_ns) + 1000;
}

nlohmann::ordered_json VulkanDevice::describe() const {
    const orr_vulkan_device& t = capability_.table;
    const auto version = [](uint32_t v) { return std::to_string(VK_API_VERSION_MAJOR(v)) + "." + std::to_string(VK_API_VERSION_MINOR(v)) + "." + std::to_string(VK_API_VERSION_PATCH(v)); };
    return {{"id", id_},
            {"name", capability_.name},
            {"driver", capability_.driver},
            {"vulkan", version(t.api_version)},
            {"kind", t.software ? "software" : t.integrated ? "integrated" : "card"},
            {"memory_bytes", capability_.heap_bytes},
            {"budget_bytes", memory_->budget_bytes()},
            {"used_bytes", memory_->used_bytes()},
            {"subgroup", t.subgroup},
            {"shared_bytes", t.shared_bytes},
            {"multiprocessors", t.cores},
            {"lacks", capability_.missing},
            {"host", !own_},
            {"pipelines", pipelines_->count()},
            {"pipeline_cache", pipelines_->cache_file()},
            {"quirks", trust_->describe_quirks()},
            {"self_test", trust_->describe()}};
}

}  // namespace orrery::vulkan
