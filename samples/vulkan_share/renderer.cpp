#include "renderer.hpp"

#include <dlfcn.h>

namespace {
#include "fill.h"
#include "shade.h"

void good(VkResult result, const char* what) {
    if (result != VK_SUCCESS) throw std::runtime_error(std::string(what) + ": VkResult " + std::to_string(result));
}

}  // namespace

#define INSTANCE_CALLS(X)                                                                                                              \
    X(DestroyInstance) X(EnumeratePhysicalDevices) X(GetPhysicalDeviceProperties) X(GetPhysicalDeviceFeatures2)                        \
    X(GetPhysicalDeviceMemoryProperties) X(GetPhysicalDeviceQueueFamilyProperties) X(CreateDevice) X(GetDeviceProcAddr)
#define DEVICE_CALLS(X)                                                                                                                \
    X(DestroyDevice) X(DeviceWaitIdle) X(GetDeviceQueue) X(CreateBuffer) X(DestroyBuffer) X(GetBufferMemoryRequirements)               \
    X(AllocateMemory) X(FreeMemory) X(BindBufferMemory) X(MapMemory) X(GetBufferDeviceAddress) X(CreateSemaphore)                      \
    X(DestroySemaphore) X(WaitSemaphores) X(CreateShaderModule) X(DestroyShaderModule) X(CreatePipelineLayout)                         \
    X(DestroyPipelineLayout) X(CreateComputePipelines) X(DestroyPipeline) X(CreateCommandPool) X(DestroyCommandPool)                   \
    X(AllocateCommandBuffers) X(BeginCommandBuffer) X(EndCommandBuffer) X(CmdBindPipeline) X(CmdPushConstants) X(CmdDispatch)          \
    X(CmdPipelineBarrier) X(QueueSubmit)

struct Renderer::Calls {
    PFN_vkGetInstanceProcAddr GetInstanceProcAddr = nullptr;
    PFN_vkCreateInstance CreateInstance = nullptr;
#define X(name) PFN_vk##name name = nullptr;
    INSTANCE_CALLS(X)
    DEVICE_CALLS(X)
#undef X
};

Renderer::Renderer() : vk_(std::make_unique<Calls>()) {
    try {
        make_instance();
        choose_device();
        make_device();
        fill_ = make_pass(fill_code, sizeof fill_code, sizeof(FillPush));
        shade_ = make_pass(shade_code, sizeof shade_code, sizeof(ShadePush));
    } catch (...) {
        close();
        throw;
    }
}

Renderer::~Renderer() { close(); }

void Renderer::close() {
    if (device_) {
        vk_->DeviceWaitIdle(device_);
        for (const Pass& p : {fill_, shade_}) {
            vk_->DestroyPipeline(device_, p.pipeline, nullptr);
            vk_->DestroyPipelineLayout(device_, p.layout, nullptr);
        }
        vk_->DestroySemaphore(device_, timeline_, nullptr);
        vk_->DestroyCommandPool(device_, pool_, nullptr);
        vk_->DestroyDevice(device_, nullptr);
    }
    if (instance_) vk_->DestroyInstance(instance_, nullptr);
}

void Renderer::make_instance() {
    void* const library = dlopen("libvulkan.so.1", RTLD_NOW);
    if (!library) throw NoDevice("Vulkan: no loader library");
    vk_->GetInstanceProcAddr = reinterpret_cast<PFN_vkGetInstanceProcAddr>(dlsym(library, "vkGetInstanceProcAddr"));
    vk_->CreateInstance = reinterpret_cast<PFN_vkCreateInstance>(vk_->GetInstanceProcAddr(nullptr, "vkCreateInstance"));
    VkApplicationInfo application{};
    application.sType = VK_STRUCTURE_TYPE_APPLICATION_INFO;
    application.pApplicationName = "vulkan_share";
    application.apiVersion = version_;
    VkInstanceCreateInfo info{};
    info.sType = VK_STRUCTURE_TYPE_INSTANCE_CREATE_INFO;
    info.pApplicationInfo = &application;
    if (vk_->CreateInstance(&info, nullptr, &instance_) != VK_SUCCESS) throw NoDevice("Vulkan: no instance of version 1.2");
#define X(name) vk_->name = reinterpret_cast<PFN_vk##name>(vk_->GetInstanceProcAddr(instance_, "vk" #name));
    INSTANCE_CALLS(X)
#undef X
}

// The first device with 1.2, a queue that computes, addresses and timelines.
void Renderer::choose_device() {
    uint32_t n = 0;
    vk_->EnumeratePhysicalDevices(instance_, &n, nullptr);
    std::vector<VkPhysicalDevice> devices(n);
    vk_->EnumeratePhysicalDevices(instance_, &n, devices.data());
    for (const VkPhysicalDevice d : devices) {
        VkPhysicalDeviceProperties properties;
        vk_->GetPhysicalDeviceProperties(d, &properties);
        if (properties.apiVersion < version_) continue;
        VkPhysicalDeviceVulkan11Features has11{};
        VkPhysicalDeviceVulkan12Features has12{};
        has11.sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_VULKAN_1_1_FEATURES;
        has12.sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_VULKAN_1_2_FEATURES;
        has11.pNext = &has12;
        VkPhysicalDeviceFeatures2 has{};
        has.sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_FEATURES_2;
        has.pNext = &has11;
        vk_->GetPhysicalDeviceFeatures2(d, &has);
        if (!has12.bufferDeviceAddress || !has12.timelineSemaphore) continue;
        uint32_t families = 0;
        vk_->GetPhysicalDeviceQueueFamilyProperties(d, &families, nullptr);
        std::vector<VkQueueFamilyProperties> list(families);
        vk_->GetPhysicalDeviceQueueFamilyProperties(d, &families, list.data());
        for (family_ = 0; family_ < families && !(list[family_].queueFlags & VK_QUEUE_COMPUTE_BIT);) family_++;
        if (family_ == families) continue;
        physical_ = d;
        name_ = properties.deviceName;
        // Needed by this and by the engine; and what makes the engine faster, where it is there.
        features_.sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_FEATURES_2;
        features_.pNext = &features11_;
        features_.features.shaderInt16 = has.features.shaderInt16;
        features11_.sType = has11.sType;
        features11_.pNext = &features12_;
        features11_.storageBuffer16BitAccess = has11.storageBuffer16BitAccess;
        features12_.sType = has12.sType;
        features12_.bufferDeviceAddress = VK_TRUE;
        features12_.timelineSemaphore = VK_TRUE;
        features12_.storageBuffer8BitAccess = has12.storageBuffer8BitAccess;
        features12_.shaderFloat16 = has12.shaderFloat16;
        features12_.shaderInt8 = has12.shaderInt8;
        return;
    }
    throw NoDevice("Vulkan: no device with version 1.2, buffer addresses and timeline semaphores");
}

void Renderer::make_device() {
    const float priority = 1;
    VkDeviceQueueCreateInfo queue{};
    queue.sType = VK_STRUCTURE_TYPE_DEVICE_QUEUE_CREATE_INFO;
    queue.queueFamilyIndex = family_;
    queue.queueCount = 1;
    queue.pQueuePriorities = &priority;
    VkDeviceCreateInfo info{};
    info.sType = VK_STRUCTURE_TYPE_DEVICE_CREATE_INFO;
    info.pNext = &features_;
    info.queueCreateInfoCount = 1;
    info.pQueueCreateInfos = &queue;
    good(vk_->CreateDevice(physical_, &info, nullptr, &device_), "vkCreateDevice");
#define X(name) vk_->name = reinterpret_cast<PFN_vk##name>(vk_->GetDeviceProcAddr(device_, "vk" #name));
    DEVICE_CALLS(X)
#undef X
    vk_->GetDeviceQueue(device_, family_, 0, &queue_);
    VkCommandPoolCreateInfo pool{};
    pool.sType = VK_STRUCTURE_TYPE_COMMAND_POOL_CREATE_INFO;
    pool.flags = VK_COMMAND_POOL_CREATE_RESET_COMMAND_BUFFER_BIT;
    pool.queueFamilyIndex = family_;
    good(vk_->CreateCommandPool(device_, &pool, nullptr, &pool_), "vkCreateCommandPool");
    VkCommandBufferAllocateInfo buffers{};
    buffers.sType = VK_STRUCTURE_TYPE_COMMAND_BUFFER_ALLOCATE_INFO;
    buffers.commandPool = pool_;
    buffers.level = VK_COMMAND_BUFFER_LEVEL_PRIMARY;
    buffers.commandBufferCount = kSlots;
    good(vk_->AllocateCommandBuffers(device_, &buffers, commands_), "vkAllocateCommandBuffers");
    VkSemaphoreTypeCreateInfo type{};
    type.sType = VK_STRUCTURE_TYPE_SEMAPHORE_TYPE_CREATE_INFO;
    type.semaphoreType = VK_SEMAPHORE_TYPE_TIMELINE;
    VkSemaphoreCreateInfo semaphore{};
    semaphore.sType = VK_STRUCTURE_TYPE_SEMAPHORE_CREATE_INFO;
    semaphore.pNext = &type;
    good(vk_->CreateSemaphore(device_, &semaphore, nullptr, &timeline_), "vkCreateSemaphore");
}

orr_vulkan_host Renderer::share() {
    orr_vulkan_host host{};
    host.header = ORR_HEADER(orr_vulkan_host);
    host.get_instance_proc_addr = reinterpret_cast<void*>(vk_->GetInstanceProcAddr);
    host.instance = instance_;
    host.physical_device = physical_;
    host.device = device_;
    host.queue = queue_;
    host.queue_family = family_;
    host.api_version = version_;
    host.extensions = extensions_;
    host.features = &features_;
    host.lock_queue = [](void* user) { static_cast<Renderer*>(user)->queue_mutex_.lock(); };
    host.unlock_queue = [](void* user) { static_cast<Renderer*>(user)->queue_mutex_.unlock(); };
    host.user = this;
    return host;
}

Renderer::Buffer Renderer::make_buffer(uint64_t bytes) {
    Buffer b;
    b.bytes = bytes;
    b.usage = VK_BUFFER_USAGE_STORAGE_BUFFER_BIT | VK_BUFFER_USAGE_SHADER_DEVICE_ADDRESS_BIT | VK_BUFFER_USAGE_TRANSFER_SRC_BIT;
    VkBufferCreateInfo info{};
    info.sType = VK_STRUCTURE_TYPE_BUFFER_CREATE_INFO;
    info.size = bytes;
    info.usage = b.usage;
    good(vk_->CreateBuffer(device_, &info, nullptr, &b.buffer), "vkCreateBuffer");
    VkMemoryRequirements needs;
    vk_->GetBufferMemoryRequirements(device_, b.buffer, &needs);
    VkPhysicalDeviceMemoryProperties memory;
    vk_->GetPhysicalDeviceMemoryProperties(physical_, &memory);
    VkMemoryAllocateFlagsInfo flags{};
    flags.sType = VK_STRUCTURE_TYPE_MEMORY_ALLOCATE_FLAGS_INFO;
    flags.flags = VK_MEMORY_ALLOCATE_DEVICE_ADDRESS_BIT;
    VkMemoryAllocateInfo allocate{};
    allocate.sType = VK_STRUCTURE_TYPE_MEMORY_ALLOCATE_INFO;
    allocate.pNext = &flags;
    allocate.allocationSize = needs.size;
    const auto fits = [&](uint32_t i) { return (needs.memoryTypeBits >> i & 1) && (memory.memoryTypes[i].propertyFlags & VK_MEMORY_PROPERTY_HOST_COHERENT_BIT); };
    while (allocate.memoryTypeIndex < memory.memoryTypeCount && !fits(allocate.memoryTypeIndex)) allocate.memoryTypeIndex++;
    good(vk_->AllocateMemory(device_, &allocate, nullptr, &b.memory), "vkAllocateMemory");
    good(vk_->BindBufferMemory(device_, b.buffer, b.memory, 0), "vkBindBufferMemory");
    void* mapped = nullptr;
    good(vk_->MapMemory(device_, b.memory, 0, VK_WHOLE_SIZE, 0, &mapped), "vkMapMemory");
    b.mapped = static_cast<char*>(mapped);
    VkBufferDeviceAddressInfo address{};
    address.sType = VK_STRUCTURE_TYPE_BUFFER_DEVICE_ADDRESS_INFO;
    address.buffer = b.buffer;
    b.address = vk_->GetBufferDeviceAddress(device_, &address);
    return b;
}

void Renderer::release(Buffer& b) {
    vk_->DestroyBuffer(device_, b.buffer, nullptr);
    vk_->FreeMemory(device_, b.memory, nullptr);
    b = {};
}

Renderer::Pass Renderer::make_pass(const uint32_t* code, size_t bytes, uint32_t push_bytes) {
    Pass pass;
    const VkPushConstantRange range{VK_SHADER_STAGE_COMPUTE_BIT, 0, push_bytes};
    VkPipelineLayoutCreateInfo layout{};
    layout.sType = VK_STRUCTURE_TYPE_PIPELINE_LAYOUT_CREATE_INFO;
    layout.pushConstantRangeCount = 1;
    layout.pPushConstantRanges = &range;
    good(vk_->CreatePipelineLayout(device_, &layout, nullptr, &pass.layout), "vkCreatePipelineLayout");
    VkShaderModuleCreateInfo module{};
    module.sType = VK_STRUCTURE_TYPE_SHADER_MODULE_CREATE_INFO;
    module.codeSize = bytes;
    module.pCode = code;
    VkComputePipelineCreateInfo info{};
    info.sType = VK_STRUCTURE_TYPE_COMPUTE_PIPELINE_CREATE_INFO;
    info.stage.sType = VK_STRUCTURE_TYPE_PIPELINE_SHADER_STAGE_CREATE_INFO;
    info.stage.stage = VK_SHADER_STAGE_COMPUTE_BIT;
    info.stage.pName = "main";
    info.layout = pass.layout;
    good(vk_->CreateShaderModule(device_, &module, nullptr, &info.stage.module), "vkCreateShaderModule");
    const VkResult result = vk_->CreateComputePipelines(device_, VK_NULL_HANDLE, 1, &info, nullptr, &pass.pipeline);
    vk_->DestroyShaderModule(device_, info.stage.module, nullptr);
    good(result, "vkCreateComputePipelines");
    return pass;
}

void Renderer::fill(uint32_t slot, const FillPush& push, Moment after, Moment then) {
    submit(slot, fill_, &push, sizeof push, push.channels * push.height * push.width, after, then);
}
void Renderer::shade(uint32_t slot, const ShadePush& push, Moment after, Moment then) { submit(slot, shade_, &push, sizeof push, push.classes, after, then); }

void Renderer::submit(uint32_t slot, const Pass& pass, const void* push, uint32_t push_bytes, uint32_t invocations, Moment after, Moment then) {
    const VkCommandBuffer commands = commands_[slot];
    VkCommandBufferBeginInfo begin{};
    begin.sType = VK_STRUCTURE_TYPE_COMMAND_BUFFER_BEGIN_INFO;
    begin.flags = VK_COMMAND_BUFFER_USAGE_ONE_TIME_SUBMIT_BIT;
    good(vk_->BeginCommandBuffer(commands, &begin), "vkBeginCommandBuffer");
    vk_->CmdBindPipeline(commands, VK_PIPELINE_BIND_POINT_COMPUTE, pass.pipeline);
    vk_->CmdPushConstants(commands, pass.layout, VK_SHADER_STAGE_COMPUTE_BIT, 0, push_bytes, push);
    vk_->CmdDispatch(commands, (invocations + 63) / 64, 1, 1);
    // For the check, which reads with the processor.
    VkMemoryBarrier barrier{};
    barrier.sType = VK_STRUCTURE_TYPE_MEMORY_BARRIER;
    barrier.srcAccessMask = VK_ACCESS_SHADER_WRITE_BIT;
    barrier.dstAccessMask = VK_ACCESS_HOST_READ_BIT;
    vk_->CmdPipelineBarrier(commands, VK_PIPELINE_STAGE_COMPUTE_SHADER_BIT, VK_PIPELINE_STAGE_HOST_BIT, 0, 1, &barrier, 0, nullptr, 0, nullptr);
    good(vk_->EndCommandBuffer(commands), "vkEndCommandBuffer");
    VkTimelineSemaphoreSubmitInfo times{};
    times.sType = VK_STRUCTURE_TYPE_TIMELINE_SEMAPHORE_SUBMIT_INFO;
    times.waitSemaphoreValueCount = times.signalSemaphoreValueCount = 1;
    times.pWaitSemaphoreValues = &after.value;
    times.pSignalSemaphoreValues = &then.value;
    const VkPipelineStageFlags stage = VK_PIPELINE_STAGE_COMPUTE_SHADER_BIT;
    VkSubmitInfo info{};
    info.sType = VK_STRUCTURE_TYPE_SUBMIT_INFO;
    info.pNext = &times;
    info.waitSemaphoreCount = after.semaphore ? 1 : 0;
    info.pWaitSemaphores = &after.semaphore;
    info.pWaitDstStageMask = &stage;
    info.commandBufferCount = 1;
    info.pCommandBuffers = &commands;
    info.signalSemaphoreCount = then.semaphore ? 1 : 0;
    info.pSignalSemaphores = &then.semaphore;
    const std::lock_guard lock(queue_mutex_);
    good(vk_->QueueSubmit(queue_, 1, &info, VK_NULL_HANDLE), "vkQueueSubmit");
}

void Renderer::wait(Moment moment) {
    VkSemaphoreWaitInfo info{};
    info.sType = VK_STRUCTURE_TYPE_SEMAPHORE_WAIT_INFO;
    info.semaphoreCount = 1;
    info.pSemaphores = &moment.semaphore;
    info.pValues = &moment.value;
    good(vk_->WaitSemaphores(device_, &info, UINT64_MAX), "vkWaitSemaphores");
}
