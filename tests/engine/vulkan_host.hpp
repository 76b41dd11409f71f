// A host with a Vulkan device of its own, as a renderer has one: instance, device, a queue under a lock, buffers, timeline semaphores. It
// watches the engine: each use of the queue must come under the lock, and the validation layer must have nothing to say.
#pragma once
#define VK_NO_PROTOTYPES
#include <dlfcn.h>
#include <gtest/gtest.h>
#include <vulkan/vulkan.h>

#include <atomic>
#include <cstring>
#include <functional>
#include <mutex>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

#include "orrery/ext/vulkan.h"

namespace engine_tests {

#define ORR_TEST_CALLS(X)                                                                                                                  \
    X(DestroyDevice) X(GetDeviceQueue) X(CreateBuffer) X(DestroyBuffer) X(GetBufferMemoryRequirements) X(AllocateMemory) X(FreeMemory)     \
    X(BindBufferMemory) X(MapMemory) X(GetBufferDeviceAddress) X(CreateSemaphore) X(DestroySemaphore) X(GetSemaphoreCounterValue)          \
    X(WaitSemaphores) X(SignalSemaphore) X(CreateCommandPool) X(DestroyCommandPool) X(AllocateCommandBuffers) X(FreeCommandBuffers)        \
    X(BeginCommandBuffer) X(EndCommandBuffer) X(CmdCopyBuffer) X(CmdPipelineBarrier) X(QueueSubmit) X(DeviceWaitIdle)

class VulkanHost {
  public:
    struct Wish {
        bool address = true, timeline = true;
        uint32_t api_version = VK_API_VERSION_1_3;
    };
    // Throws std::runtime_error where there is no device.
    explicit VulkanHost(const Wish& wish) {
        loader_ = reinterpret_cast<PFN_vkGetInstanceProcAddr>(dlsym(dlopen("libvulkan.so.1", RTLD_NOW), "vkGetInstanceProcAddr"));
        if (!loader_) throw std::runtime_error("no Vulkan loader");
        make_instance(wish.api_version);
        make_device(wish);
        current_ = this;
    }
    VulkanHost() : VulkanHost(Wish()) {}
    ~VulkanHost() {
        if (device) {
            vk.DeviceWaitIdle(device);
            vk.DestroyCommandPool(device, pool_, nullptr);
            vk.DestroyDevice(device, nullptr);
        }
        if (messenger_) get<PFN_vkDestroyDebugUtilsMessengerEXT>("vkDestroyDebugUtilsMessengerEXT")(instance, messenger_, nullptr);
        if (instance) get<PFN_vkDestroyInstance>("vkDestroyInstance")(instance, nullptr);
        current_ = nullptr;
        EXPECT_EQ(complaints_, "");
        EXPECT_EQ(outside_, 0) << "uses of the queue without the lock";
        EXPECT_EQ(locks, unlocks);
    }
    VulkanHost(const VulkanHost&) = delete;
    VulkanHost& operator=(const VulkanHost&) = delete;

    // For orr_engine_options.vulkan.
    orr_vulkan_host table() {
        orr_vulkan_host h{};
        h.header = ORR_HEADER(orr_vulkan_host);
        h.get_instance_proc_addr = reinterpret_cast<void*>(&watch_instance);
        h.instance = instance;
        h.physical_device = physical;
        h.device = device;
        h.queue = queue;
        h.queue_family = family;
        h.api_version = version_;
        h.extensions = extension_names_.data();
        h.features = &features_;
        h.lock_queue = [](void* user) { static_cast<VulkanHost*>(user)->lock(); };
        h.unlock_queue = [](void* user) { static_cast<VulkanHost*>(user)->unlock(); };
        h.user = this;
        return h;
    }

    struct Buffer {
        VkBuffer buffer = VK_NULL_HANDLE;
        VkDeviceMemory memory = VK_NULL_HANDLE;
        uint64_t bytes = 0, address = 0;
        uint32_t usage = 0;
        char* mapped = nullptr;
        // For the engine: `size` bytes from `offset` on.
        orr_vulkan_buffer part(uint64_t offset, uint64_t size) const {
            return {ORR_HEADER(orr_vulkan_buffer), reinterpret_cast<void*>(buffer), offset, address ? address + offset : 0, size, usage};
        }
    };
    static constexpr uint32_t kUsage = VK_BUFFER_USAGE_STORAGE_BUFFER_BIT | VK_BUFFER_USAGE_TRANSFER_SRC_BIT | VK_BUFFER_USAGE_TRANSFER_DST_BIT | VK_BUFFER_USAGE_SHADER_DEVICE_ADDRESS_BIT;
    Buffer make_buffer(uint64_t bytes, uint32_t usage = kUsage) {
        Buffer b;
        b.bytes = bytes;
        b.usage = usage;
        VkBufferCreateInfo info{};
        info.sType = VK_STRUCTURE_TYPE_BUFFER_CREATE_INFO;
        info.size = bytes;
        info.usage = usage;
        good(vk.CreateBuffer(device, &info, nullptr, &b.buffer));
        VkMemoryRequirements needs;
        vk.GetBufferMemoryRequirements(device, b.buffer, &needs);
        VkMemoryAllocateFlagsInfo flags{};
        flags.sType = VK_STRUCTURE_TYPE_MEMORY_ALLOCATE_FLAGS_INFO;
        flags.flags = usage & VK_BUFFER_USAGE_SHADER_DEVICE_ADDRESS_BIT ? VK_MEMORY_ALLOCATE_DEVICE_ADDRESS_BIT : 0;
        VkMemoryAllocateInfo allocate{};
        allocate.sType = VK_STRUCTURE_TYPE_MEMORY_ALLOCATE_INFO;
        allocate.pNext = &flags;
        allocate.allocationSize = needs.size;
        while (!(needs.memoryTypeBits >> allocate.memoryTypeIndex & 1) || !(visible_types_ >> allocate.memoryTypeIndex & 1)) allocate.memoryTypeIndex++;
        good(vk.AllocateMemory(device, &allocate, nullptr, &b.memory));
        good(vk.BindBufferMemory(device, b.buffer, b.memory, 0));
        void* mapped = nullptr;
        good(vk.MapMemory(device, b.memory, 0, VK_WHOLE_SIZE, 0, &mapped));
        b.mapped = static_cast<char*>(mapped);
        if (usage & VK_BUFFER_USAGE_SHADER_DEVICE_ADDRESS_BIT) {
            VkBufferDeviceAddressInfo address{};
            address.sType = VK_STRUCTURE_TYPE_BUFFER_DEVICE_ADDRESS_INFO;
            address.buffer = b.buffer;
            b.address = vk.GetBufferDeviceAddress(device, &address);
        }
        return b;
    }
    void release(Buffer& b) {
        vk.DestroyBuffer(device, b.buffer, nullptr);
        vk.FreeMemory(device, b.memory, nullptr);
        b = {};
    }
    VkSemaphore make_timeline() {
        VkSemaphoreTypeCreateInfo type{};
        type.sType = VK_STRUCTURE_TYPE_SEMAPHORE_TYPE_CREATE_INFO;
        type.semaphoreType = VK_SEMAPHORE_TYPE_TIMELINE;
        VkSemaphoreCreateInfo info{};
        info.sType = VK_STRUCTURE_TYPE_SEMAPHORE_CREATE_INFO;
        info.pNext = &type;
        VkSemaphore s = VK_NULL_HANDLE;
        good(vk.CreateSemaphore(device, &info, nullptr, &s));
        return s;
    }
    uint64_t value(VkSemaphore s) {
        uint64_t v = 0;
        good(vk.GetSemaphoreCounterValue(device, s, &v));
        return v;
    }
    void signal(VkSemaphore s, uint64_t value) {
        VkSemaphoreSignalInfo info{};
        info.sType = VK_STRUCTURE_TYPE_SEMAPHORE_SIGNAL_INFO;
        info.semaphore = s;
        info.value = value;
        good(vk.SignalSemaphore(device, &info));
    }
    void wait(VkSemaphore s, uint64_t value) {
        VkSemaphoreWaitInfo info{};
        info.sType = VK_STRUCTURE_TYPE_SEMAPHORE_WAIT_INFO;
        info.semaphoreCount = 1;
        info.pSemaphores = &s;
        info.pValues = &value;
        good(vk.WaitSemaphores(device, &info, 20'000'000'000));
    }
    struct At {
        VkSemaphore semaphore = VK_NULL_HANDLE;
        uint64_t value = 0;
    };
    // A copy on the queue, between semaphores where they are given. The command buffer lives as long as the host.
    void submit_copy(VkBuffer from, uint64_t from_offset, VkBuffer to, uint64_t to_offset, uint64_t bytes, const At& waits, const At& signals) {
        const std::lock_guard pool_lock(pool_mutex_);
        VkCommandBufferAllocateInfo info{};
        info.sType = VK_STRUCTURE_TYPE_COMMAND_BUFFER_ALLOCATE_INFO;
        info.commandPool = pool_;
        info.level = VK_COMMAND_BUFFER_LEVEL_PRIMARY;
        info.commandBufferCount = 1;
        VkCommandBuffer c = VK_NULL_HANDLE;
        good(vk.AllocateCommandBuffers(device, &info, &c));
        VkCommandBufferBeginInfo begin{};
        begin.sType = VK_STRUCTURE_TYPE_COMMAND_BUFFER_BEGIN_INFO;
        good(vk.BeginCommandBuffer(c, &begin));
        const VkBufferCopy region{from_offset, to_offset, bytes};
        vk.CmdCopyBuffer(c, from, to, 1, &region);
        VkMemoryBarrier barrier{VK_STRUCTURE_TYPE_MEMORY_BARRIER, nullptr, VK_ACCESS_TRANSFER_WRITE_BIT, VK_ACCESS_HOST_READ_BIT};
        vk.CmdPipelineBarrier(c, VK_PIPELINE_STAGE_TRANSFER_BIT, VK_PIPELINE_STAGE_HOST_BIT, 0, 1, &barrier, 0, nullptr, 0, nullptr);
        good(vk.EndCommandBuffer(c));
        VkTimelineSemaphoreSubmitInfo times{};
        times.sType = VK_STRUCTURE_TYPE_TIMELINE_SEMAPHORE_SUBMIT_INFO;
        times.waitSemaphoreValueCount = times.signalSemaphoreValueCount = 1;
        times.pWaitSemaphoreValues = &waits.value;
        times.pSignalSemaphoreValues = &signals.value;
        const VkPipelineStageFlags stage = VK_PIPELINE_STAGE_TRANSFER_BIT;
        VkSubmitInfo submit{};
        submit.sType = VK_STRUCTURE_TYPE_SUBMIT_INFO;
        submit.pNext = &times;
        submit.waitSemaphoreCount = waits.semaphore ? 1 : 0;
        submit.pWaitSemaphores = &waits.semaphore;
        submit.pWaitDstStageMask = &stage;
        submit.commandBufferCount = 1;
        submit.pCommandBuffers = &c;
        submit.signalSemaphoreCount = signals.semaphore ? 1 : 0;
        submit.pSignalSemaphores = &signals.semaphore;
        mutex_.lock();
        const VkResult r = vk.QueueSubmit(queue, 1, &submit, VK_NULL_HANDLE);
        mutex_.unlock();
        good(r);
    }

    VkInstance instance = VK_NULL_HANDLE;
    VkPhysicalDevice physical = VK_NULL_HANDLE;
    VkDevice device = VK_NULL_HANDLE;
    VkQueue queue = VK_NULL_HANDLE;
    uint32_t family = 0;
    std::atomic<int> locks{0}, unlocks{0}, submissions{0};  // of the engine
    struct {
#define X(name) PFN_vk##name name = nullptr;
        ORR_TEST_CALLS(X)
#undef X
    } vk;
    std::string complaints() {
        const std::lock_guard lock(complaints_mutex_);
        return complaints_;
    }

  private:
    template <class F>
    F get(const char* name) {
        return reinterpret_cast<F>(loader_(instance, name));
    }
    static void good(VkResult r) {
        if (r != VK_SUCCESS) throw std::runtime_error("the host's call gave " + std::to_string(r));
    }
    void lock() {
        mutex_.lock();
        holder_ = std::this_thread::get_id();
        locks++;
    }
    void unlock() {
        holder_ = std::thread::id();
        unlocks++;
        mutex_.unlock();
    }

    // The engine's loader: the real one, but for the queue.
    static VKAPI_ATTR VkResult VKAPI_CALL watch_submit(VkQueue q, uint32_t n, const VkSubmitInfo* s, VkFence f) {
        if (current_->holder_ != std::this_thread::get_id()) current_->outside_++;
        current_->submissions++;
        return current_->vk.QueueSubmit(q, n, s, f);
    }
    static VKAPI_ATTR PFN_vkVoidFunction VKAPI_CALL watch_device(VkDevice d, const char* name) {
        if (std::strcmp(name, "vkQueueSubmit") == 0) return reinterpret_cast<PFN_vkVoidFunction>(&watch_submit);
        // No other use of a queue.
        if (std::strstr(name, "vkQueue") || std::strstr(name, "WaitIdle")) current_->outside_++;
        return current_->get<PFN_vkGetDeviceProcAddr>("vkGetDeviceProcAddr")(d, name);
    }
    static VKAPI_ATTR PFN_vkVoidFunction VKAPI_CALL watch_instance(VkInstance i, const char* name) {
        if (std::strcmp(name, "vkGetDeviceProcAddr") == 0) return reinterpret_cast<PFN_vkVoidFunction>(&watch_device);
        return current_->loader_(i, name);
    }

    static VKAPI_ATTR VkBool32 VKAPI_CALL complain(VkDebugUtilsMessageSeverityFlagBitsEXT, VkDebugUtilsMessageTypeFlagsEXT, const VkDebugUtilsMessengerCallbackDataEXT* data, void* user) {
        auto& self = *static_cast<VulkanHost*>(user);
        const std::lock_guard lock(self.complaints_mutex_);
        self.complaints_ += std::string(data->pMessage) + "\n";
        return VK_FALSE;
    }
    // With the validation layer where it is installed.
    void make_instance(uint32_t version) {
        version_ = version;
        const char* const layer = "VK_LAYER_KHRONOS_validation";
        const char* const extension = VK_EXT_DEBUG_UTILS_EXTENSION_NAME;
        uint32_t n = 0;
        const auto layers_of = get<PFN_vkEnumerateInstanceLayerProperties>("vkEnumerateInstanceLayerProperties");
        good(layers_of(&n, nullptr));
        std::vector<VkLayerProperties> layers(n);
        good(layers_of(&n, layers.data()));
        bool found = false;
        for (const auto& l : layers) found = found || std::strcmp(l.layerName, layer) == 0;
        VkApplicationInfo application{};
        application.sType = VK_STRUCTURE_TYPE_APPLICATION_INFO;
        application.apiVersion = version;
        VkDebugUtilsMessengerCreateInfoEXT messages{};
        messages.sType = VK_STRUCTURE_TYPE_DEBUG_UTILS_MESSENGER_CREATE_INFO_EXT;
        messages.messageSeverity = VK_DEBUG_UTILS_MESSAGE_SEVERITY_WARNING_BIT_EXT | VK_DEBUG_UTILS_MESSAGE_SEVERITY_ERROR_BIT_EXT;
        messages.messageType = VK_DEBUG_UTILS_MESSAGE_TYPE_VALIDATION_BIT_EXT;
        messages.pfnUserCallback = &complain;
        messages.pUserData = this;
        VkInstanceCreateInfo info{};
        info.sType = VK_STRUCTURE_TYPE_INSTANCE_CREATE_INFO;
        info.pApplicationInfo = &application;
        info.enabledLayerCount = info.enabledExtensionCount = found ? 1 : 0;
        info.ppEnabledLayerNames = &layer;
        info.ppEnabledExtensionNames = &extension;
        good(get<PFN_vkCreateInstance>("vkCreateInstance")(&info, nullptr, &instance));
        if (found) good(get<PFN_vkCreateDebugUtilsMessengerEXT>("vkCreateDebugUtilsMessengerEXT")(instance, &messages, nullptr, &messenger_));
    }
    // All the features that the engine uses and the device has, but for those not wished.
    void make_device(const Wish& wish) {
        uint32_t n = 1;
        const VkResult r = get<PFN_vkEnumeratePhysicalDevices>("vkEnumeratePhysicalDevices")(instance, &n, &physical);
        if ((r != VK_SUCCESS && r != VK_INCOMPLETE) || n == 0) throw std::runtime_error("no Vulkan device");
        VkPhysicalDeviceVulkan11Features v11{};
        v11.sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_VULKAN_1_1_FEATURES;
        VkPhysicalDeviceVulkan12Features v12{};
        v12.sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_VULKAN_1_2_FEATURES;
        VkPhysicalDeviceVulkan13Features v13{};
        v13.sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_VULKAN_1_3_FEATURES;
        v11.pNext = &v12;
        if (version_ >= VK_API_VERSION_1_3) v12.pNext = &v13;
        VkPhysicalDeviceFeatures2 has{};
        has.sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_FEATURES_2;
        has.pNext = &v11;
        get<PFN_vkGetPhysicalDeviceFeatures2>("vkGetPhysicalDeviceFeatures2")(physical, &has);
        features_ = {VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_FEATURES_2, &v11_, {}};
        features_.features.shaderInt16 = has.features.shaderInt16;
        v11_.sType = v11.sType;
        v11_.pNext = &v12_;
        v11_.storageBuffer16BitAccess = v11.storageBuffer16BitAccess;
        v12_.sType = v12.sType;
        v12_.storageBuffer8BitAccess = v12.storageBuffer8BitAccess;
        v12_.shaderFloat16 = v12.shaderFloat16;
        v12_.shaderInt8 = v12.shaderInt8;
        v12_.bufferDeviceAddress = v12.bufferDeviceAddress && wish.address;
        v12_.timelineSemaphore = v12.timelineSemaphore && wish.timeline;
        v12_.vulkanMemoryModel = v12.vulkanMemoryModel;
        v12_.vulkanMemoryModelDeviceScope = v12.vulkanMemoryModelDeviceScope;
        if (version_ >= VK_API_VERSION_1_3) {
            v12_.pNext = &v13_;
            v13_.sType = v13.sType;
            v13_.subgroupSizeControl = v13.subgroupSizeControl;
            v13_.computeFullSubgroups = v13.computeFullSubgroups;
            v13_.shaderIntegerDotProduct = v13.shaderIntegerDotProduct;
        }
        VkPhysicalDeviceMemoryProperties memory;
        get<PFN_vkGetPhysicalDeviceMemoryProperties>("vkGetPhysicalDeviceMemoryProperties")(physical, &memory);
        for (uint32_t i = 0; i < memory.memoryTypeCount; i++)
            if (memory.memoryTypes[i].propertyFlags & VK_MEMORY_PROPERTY_HOST_COHERENT_BIT) visible_types_ |= 1u << i;
        const auto families_of = get<PFN_vkGetPhysicalDeviceQueueFamilyProperties>("vkGetPhysicalDeviceQueueFamilyProperties");
        families_of(physical, &n, nullptr);
        std::vector<VkQueueFamilyProperties> families(n);
        families_of(physical, &n, families.data());
        while (family + 1 < n && !(families[family].queueFlags & VK_QUEUE_COMPUTE_BIT)) family++;
        const float priority = 1;
        VkDeviceQueueCreateInfo q{};
        q.sType = VK_STRUCTURE_TYPE_DEVICE_QUEUE_CREATE_INFO;
        q.queueFamilyIndex = family;
        q.queueCount = 1;
        q.pQueuePriorities = &priority;
        VkDeviceCreateInfo info{};
        info.sType = VK_STRUCTURE_TYPE_DEVICE_CREATE_INFO;
        info.pNext = &features_;
        info.queueCreateInfoCount = 1;
        info.pQueueCreateInfos = &q;
        good(get<PFN_vkCreateDevice>("vkCreateDevice")(physical, &info, nullptr, &device));
        const auto address = get<PFN_vkGetDeviceProcAddr>("vkGetDeviceProcAddr");
#define X(name) vk.name = reinterpret_cast<PFN_vk##name>(address(device, "vk" #name));
        ORR_TEST_CALLS(X)
#undef X
        vk.GetDeviceQueue(device, family, 0, &queue);
        VkCommandPoolCreateInfo pool{};
        pool.sType = VK_STRUCTURE_TYPE_COMMAND_POOL_CREATE_INFO;
        pool.queueFamilyIndex = family;
        good(vk.CreateCommandPool(device, &pool, nullptr, &pool_));
    }

    static inline VulkanHost* current_ = nullptr;  // one at a time
    PFN_vkGetInstanceProcAddr loader_ = nullptr;
    uint32_t version_ = 0, visible_types_ = 0;
    VkDebugUtilsMessengerEXT messenger_ = VK_NULL_HANDLE;
    VkPhysicalDeviceFeatures2 features_{};
    VkPhysicalDeviceVulkan11Features v11_{};
    VkPhysicalDeviceVulkan12Features v12_{};
    VkPhysicalDeviceVulkan13Features v13_{};
    std::vector<const char*> extension_names_{nullptr};
    VkCommandPool pool_ = VK_NULL_HANDLE;
    std::mutex mutex_, complaints_mutex_, pool_mutex_;
    std::atomic<std::thread::id> holder_{};
    std::atomic<int> outside_{0};
    std::string complaints_;
};
#undef ORR_TEST_CALLS

}  // namespace engine_tests
