// Vulkan's functions, fetched at run time: the library starts on machines without Vulkan.
#pragma once
#define VK_NO_PROTOTYPES
#include <vulkan/vulkan.h>

#include <string>

namespace orrery::vulkan {

#define ORR_VK_GLOBAL(X) X(CreateInstance) X(EnumerateInstanceVersion)
#define ORR_VK_INSTANCE(X)                                                                                                         \
    X(DestroyInstance) X(EnumeratePhysicalDevices) X(GetPhysicalDeviceProperties) X(GetPhysicalDeviceProperties2)                  \
    X(GetPhysicalDeviceFeatures2) X(GetPhysicalDeviceMemoryProperties) X(GetPhysicalDeviceMemoryProperties2)                       \
    X(GetPhysicalDeviceQueueFamilyProperties) X(EnumerateDeviceExtensionProperties) X(CreateDevice) X(GetDeviceProcAddr)
#define ORR_VK_DEVICE(X)                                                                                                           \
    X(DestroyDevice) X(GetDeviceQueue) X(AllocateMemory) X(FreeMemory) X(MapMemory) X(CreateBuffer) X(DestroyBuffer)               \
    X(GetBufferMemoryRequirements) X(BindBufferMemory) X(GetBufferDeviceAddress) X(CreateShaderModule) X(DestroyShaderModule)      \
    X(CreatePipelineLayout) X(DestroyPipelineLayout) X(CreateComputePipelines) X(DestroyPipeline) X(CreatePipelineCache)           \
    X(GetPipelineCacheData) X(DestroyPipelineCache) X(CreateCommandPool) X(DestroyCommandPool) X(AllocateCommandBuffers)           \
    X(FreeCommandBuffers) X(BeginCommandBuffer) X(EndCommandBuffer) X(CmdBindPipeline) X(CmdPushConstants) X(CmdDispatch)          \
    X(CmdPipelineBarrier) X(CmdCopyBuffer) X(CmdFillBuffer) X(CreateQueryPool) X(DestroyQueryPool) X(CmdResetQueryPool)            \
    X(CmdWriteTimestamp) X(GetQueryPoolResults) X(QueueSubmit) X(CreateSemaphore) X(DestroySemaphore) X(WaitSemaphores)            \
    X(SignalSemaphore) X(GetSemaphoreCounterValue)

struct GlobalApi {
    PFN_vkGetInstanceProcAddr GetInstanceProcAddr = nullptr;
#define X(name) PFN_vk##name name = nullptr;
    ORR_VK_GLOBAL(X)
#undef X
};
struct InstanceApi {
#define X(name) PFN_vk##name name = nullptr;
    ORR_VK_INSTANCE(X)
#undef X
    // NULL where the instance does not know the extension
    PFN_vkVoidFunction GetPhysicalDeviceCooperativeMatrixPropertiesKHR = nullptr;
    PFN_vkVoidFunction GetPhysicalDeviceCooperativeMatrixFlexibleDimensionsPropertiesNV = nullptr;
};
struct DeviceApi {
#define X(name) PFN_vk##name name = nullptr;
    ORR_VK_DEVICE(X)
#undef X
};

// The system's loader, or `given`. Throws Error(ORR_UNSUPPORTED) with the reason when there is none.
GlobalApi load_global(PFN_vkGetInstanceProcAddr given);
InstanceApi load_instance(const GlobalApi& global, VkInstance instance);
DeviceApi load_device(const InstanceApi& instance, VkDevice device);

const char* result_name(VkResult result);
// Throws what a failed call means, "vkAllocateMemory: VK_ERROR_OUT_OF_DEVICE_MEMORY" behind `doing`.
[[noreturn]] void fail(VkResult result, const char* call, const std::string& doing);

}  // namespace orrery::vulkan
