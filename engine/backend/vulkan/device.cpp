#include "engine/backend/vulkan/device.hpp"

#include <algorithm>
#include <cstdio>
#include <cstring>

#include "engine/backend/vulkan/recorder.hpp"
#include "orrery/plugin.hpp"

namespace orrery::vulkan {
namespace {

constexpr uint64_t kHostAlignment = 64;

// The host's, as VulkanBlock's table is the engine's.
class ImportedBlock : public DeviceBlock {
  public:
    explicit ImportedBlock(const orr_vulkan_buffer& buffer) : table_(buffer) {
        handle_ = &table_;
        address_ = table_.address;
        bytes_ = table_.bytes;
    }

  private:
    orr_vulkan_buffer table_;
};

std::string hex(uint64_t n) {
    char text[24];
    std::snprintf(text, sizeof text, "0x%llx", static_cast<unsigned long long>(n));
    return text;
}

std::string version_text(uint32_t v) { return std::to_string(VK_API_VERSION_MAJOR(v)) + "." + std::to_string(VK_API_VERSION_MINOR(v)) + "." + std::to_string(VK_API_VERSION_PATCH(v)); }

nlohmann::ordered_json describe_capability(const std::string& id, const Capability& c) {
    const orr_vulkan_device& t = c.table;
    return {{"id", id},
            {"name", c.name},
            {"driver", c.driver},
            {"vulkan", version_text(t.api_version)},
            {"kind", t.software ? "software" : t.integrated ? "integrated" : "card"},
            {"memory_bytes", c.heap_bytes},
            {"subgroup", t.subgroup},
            {"shared_bytes", t.shared_bytes},
            {"multiprocessors", t.cores},
            {"lacks", c.missing}};
}

}  // namespace

VulkanDevice::VulkanDevice(std::shared_ptr<Instance> instance, size_t index, const Options& options)
    : instance_(std::move(instance)), id_("vulkan:" + std::to_string(index)), pace_(options.submission_ns) {
    VkQueue queue = VK_NULL_HANDLE;
    if (options.host && options.host->device) {
        handle_.own = false;
        read_capability(instance_->api(), *options.host, capability_);
        handle_.device = static_cast<VkDevice>(options.host->device);
        queue = static_cast<VkQueue>(options.host->queue);
        api_ = load_device(instance_->api(), handle_.device);
    } else {
        make_device(instance_->physical_devices().at(index));
        api_ = load_device(instance_->api(), handle_.device);
        api_.GetDeviceQueue(handle_.device, capability_.queue_family, 0, &queue);
    }
    VkPhysicalDeviceFloatControlsProperties floats{};
    floats.sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_FLOAT_CONTROLS_PROPERTIES;
    VkPhysicalDeviceProperties2 properties{VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_PROPERTIES_2, &floats, {}};
    instance_->api().GetPhysicalDeviceProperties2(instance_->physical_devices().at(index), &properties);
    keep_special_ = floats.shaderSignedZeroInfNanPreserveFloat32;
    trust_ = options.trust ? options.trust : std::make_shared<ShaderTrust>(capability_, options.self_test, options.cache_dir, options.without_shaders);
    capability_.table.trust = trust_.get();
    capability_.table.refuses = [](const orr_vulkan_device* d, const orr_vulkan_shader* s) { return static_cast<const DeviceTable*>(d)->trust->refuses(*s); };
    queue_ = std::make_unique<Queue>(api_, handle_.device, queue, capability_.queue_family, capability_.table.software, handle_.own ? nullptr : options.host);
    pipelines_ = std::make_unique<Pipelines>(api_, handle_.device, capability_, options.cache_dir);
    memory_ = std::make_shared<VulkanMemory>(api_, handle_.device, capability_, options.budget_bytes);
    queue_->keep_marks(memory_->allocate(Queue::kMarkBytes, DeviceUse::result, "marks of submissions", nullptr));
    transfers_ = std::make_unique<Transfers>(api_, handle_.device, *queue_, memory_);
}

void VulkanDevice::make_device(VkPhysicalDevice physical) {
    const InstanceApi& api = instance_->api();
    Enabled enabled;
    read_capability(api, physical, capability_, enabled);
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
    if (const VkResult r = api.CreateDevice(physical, &info, nullptr, &handle_.device); r != VK_SUCCESS) {
        handle_.device = VK_NULL_HANDLE;
        fail(r, "vkCreateDevice", capability_.name);
    }
    handle_.destroy = reinterpret_cast<PFN_vkDestroyDevice>(api.GetDeviceProcAddr(handle_.device, "vkDestroyDevice"));
}

void VulkanDevice::write(const DeviceBlock& dst, uint64_t offset, const void* src, uint64_t bytes, const DeviceProgress& progress) {
    const auto* from = static_cast<const char*>(src);
    if (!dst.mapped()) return transfers_->write(dst, offset, from, bytes, progress);
    for (uint64_t at = 0; at < bytes; at += Transfers::kStagingBytes) {
        const uint64_t n = std::min(Transfers::kStagingBytes, bytes - at);
        std::memcpy(dst.mapped() + offset + at, from + at, n);
        if (progress) progress(at + n);
    }
}

void VulkanDevice::read(const DeviceBlock& src, uint64_t offset, void* dst, uint64_t bytes) {
    if (src.mapped())
        std::memcpy(dst, src.mapped() + offset, bytes);
    else
        transfers_->read(src, offset, static_cast<char*>(dst), bytes);
}

void VulkanDevice::copy(const DeviceBlock& src, uint64_t src_offset, const DeviceBlock& dst, uint64_t dst_offset, uint64_t bytes) {
    if (bytes) transfers_->copy(src, src_offset, dst, dst_offset, bytes);
}

void VulkanDevice::fill_zero(const DeviceBlock& dst, uint64_t offset, uint64_t bytes) {
    if (bytes) transfers_->fill_zero(dst, offset, bytes);
}

std::shared_ptr<DeviceBlock> VulkanDevice::import_buffer(const void* given, uint64_t bytes, bool written, const std::string& what) {
    const auto& g = *static_cast<const orr_vulkan_buffer*>(given);
    const auto refuse = [&](const std::string& why) { throw Error(ORR_INVALID_ARGUMENT, what + ": " + why); };
    if (!g.handle) refuse("its orr_vulkan_buffer has no handle");
    const auto needs_usage = [&](VkBufferUsageFlags flag, const char* name) {
        if (!(g.usage & flag)) refuse("its VkBuffer has usage " + hex(g.usage) + ", which lacks " + name + " (" + hex(flag) + ")");
    };
    if (written) {
        needs_usage(VK_BUFFER_USAGE_TRANSFER_DST_BIT, "VK_BUFFER_USAGE_TRANSFER_DST_BIT");
    } else {
        needs_usage(VK_BUFFER_USAGE_SHADER_DEVICE_ADDRESS_BIT, "VK_BUFFER_USAGE_SHADER_DEVICE_ADDRESS_BIT");
        needs_usage(VK_BUFFER_USAGE_TRANSFER_SRC_BIT, "VK_BUFFER_USAGE_TRANSFER_SRC_BIT");
    }
    if (g.bytes < bytes) refuse("its orr_vulkan_buffer holds " + std::to_string(g.bytes) + " bytes, the tensor takes " + std::to_string(bytes));
    const auto buffer = reinterpret_cast<VkBuffer>(g.handle);
    VkMemoryRequirements all;
    api_.GetBufferMemoryRequirements(handle_.device, buffer, &all);
    if (g.offset > all.size || g.bytes > all.size - g.offset)
        refuse("its orr_vulkan_buffer tells of " + std::to_string(g.bytes) + " bytes at offset " + std::to_string(g.offset) + ", the VkBuffer takes " + std::to_string(all.size));
    if (!written) {
        VkBufferDeviceAddressInfo info{};
        info.sType = VK_STRUCTURE_TYPE_BUFFER_DEVICE_ADDRESS_INFO;
        info.buffer = buffer;
        const uint64_t address = api_.GetBufferDeviceAddress(handle_.device, &info) + g.offset;
        if (address != g.address) refuse("its orr_vulkan_buffer has address " + hex(g.address) + ", the VkBuffer has " + hex(address) + " at offset " + std::to_string(g.offset));
        if (address % kHostAlignment) refuse("its address " + hex(address) + " (offset " + std::to_string(g.offset) + ") is no multiple of " + std::to_string(kHostAlignment));
    }
    return std::make_shared<ImportedBlock>(g);
}

void VulkanDevice::settle(const DeviceExchange& exchange) noexcept {
    try {
        if (!lost()) queue_->settle(exchange);
    } catch (const std::exception&) {  // the run's own failure is the one to tell
    }
}

std::unique_ptr<DeviceProgram> VulkanDevice::new_program(bool timed) {
    return std::make_unique<Recorder>(shared_from_this(), Parts{api_, handle_.device, capability_, *pipelines_, *queue_, chains_, keep_special_, *trust_, pace_, !handle_.own}, timed);
}

uint64_t VulkanDevice::cost_ns(uint64_t flops, uint64_t bytes) const {
    // Low guesses for devices of each kind, so that submissions come out too short rather than too long.
    const orr_vulkan_device& t = capability_.table;
    const double flops_per_ns = t.software ? 10 : t.integrated ? 200 : 2000, bytes_per_ns = t.software ? 2 : t.integrated ? 20 : 150;
    return static_cast<uint64_t>(static_cast<double>(flops) / flops_per_ns + static_cast<double>(bytes) / bytes_per_ns) + 1000;
}

bool VulkanDevice::takes_chain(const Expression&, const std::vector<const orr_tensor*>& ins, const orr_tensor& dst, std::string& reason) const {
    ChainLoop loop;
    if (!make_chain_loop(ins, dst, false, loop, reason)) return false;
    if (loop.push_bytes() <= std::min(capability_.table.push_bytes, 256u)) return true;
    reason = std::to_string(ins.size()) + " inputs and their steps take " + std::to_string(loop.push_bytes()) + " bytes of push constants, the device has " + std::to_string(capability_.table.push_bytes);
    return false;
}

nlohmann::ordered_json VulkanDevice::describe() const {
    auto out = describe_capability(id_, capability_);
    out.update({{"open", true},
                {"budget_bytes", memory_->budget_bytes()},
                {"used_bytes", memory_->used_bytes()},
                {"host", !handle_.own},
                {"pipelines", pipelines_->count()},
                {"pipeline_cache", pipelines_->cache_file()},
                {"quirks", trust_->describe_quirks()},
                {"self_test", trust_->describe()}});
    return out;
}

nlohmann::ordered_json VulkanDevice::describe_closed(const Instance& instance, size_t index) {
    Enabled enabled;
    Capability capability;
    read_capability(instance.api(), instance.physical_devices().at(index), capability, enabled);
    auto out = describe_capability("vulkan:" + std::to_string(index), capability);
    out.update({{"open", false}});
    return out;
}

}  // namespace orrery::vulkan
