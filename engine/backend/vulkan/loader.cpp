#include "engine/backend/vulkan/loader.hpp"

#include "engine/platform/files.hpp"
#include "orrery/plugin.hpp"

namespace orrery::vulkan {

GlobalApi load_global(PFN_vkGetInstanceProcAddr given) {
    GlobalApi api;
    api.GetInstanceProcAddr = given ? given : reinterpret_cast<PFN_vkGetInstanceProcAddr>(platform::vulkan_loader());
    if (!api.GetInstanceProcAddr) throw Error(ORR_UNSUPPORTED, "Vulkan: this machine has no loader library (libvulkan.so.1)");
#define X(name)                                                                                                       \
    api.name = reinterpret_cast<PFN_vk##name>(api.GetInstanceProcAddr(nullptr, "vk" #name));                          \
    if (!api.name && std::string(#name) != "EnumerateInstanceVersion") throw Error(ORR_UNSUPPORTED, "Vulkan: the loader lacks vk" #name);
    ORR_VK_GLOBAL(X)
#undef X
    return api;
}

InstanceApi load_instance(const GlobalApi& global, VkInstance instance) {
    InstanceApi api;
#define X(name)                                                                                                       \
    api.name = reinterpret_cast<PFN_vk##name>(global.GetInstanceProcAddr(instance, "vk" #name));                      \
    if (!api.name) throw Error(ORR_UNSUPPORTED, "Vulkan: the instance lacks vk" #name);
    ORR_VK_INSTANCE(X)
#undef X
    api.GetPhysicalDeviceCooperativeMatrixPropertiesKHR = global.GetInstanceProcAddr(instance, "vkGetPhysicalDeviceCooperativeMatrixPropertiesKHR");
    api.GetPhysicalDeviceCooperativeMatrixFlexibleDimensionsPropertiesNV =
        global.GetInstanceProcAddr(instance, "vkGetPhysicalDeviceCooperativeMatrixFlexibleDimensionsPropertiesNV");
    return api;
}

DeviceApi load_device(const InstanceApi& instance, VkDevice device) {
    DeviceApi api;
#define X(name)                                                                                                       \
    api.name = reinterpret_cast<PFN_vk##name>(instance.GetDeviceProcAddr(device, "vk" #name));                        \
    if (!api.name) throw Error(ORR_UNSUPPORTED, "Vulkan: the device lacks vk" #name);
    ORR_VK_DEVICE(X)
#undef X
    return api;
}

const char* result_name(VkResult result) {
    switch (result) {
        case VK_SUCCESS: return "VK_SUCCESS";
        case VK_TIMEOUT: return "VK_TIMEOUT";
        case VK_ERROR_OUT_OF_HOST_MEMORY: return "VK_ERROR_OUT_OF_HOST_MEMORY";
        case VK_ERROR_OUT_OF_DEVICE_MEMORY: return "VK_ERROR_OUT_OF_DEVICE_MEMORY";
        case VK_ERROR_INITIALIZATION_FAILED: return "VK_ERROR_INITIALIZATION_FAILED";
        case VK_ERROR_DEVICE_LOST: return "VK_ERROR_DEVICE_LOST";
        case VK_ERROR_MEMORY_MAP_FAILED: return "VK_ERROR_MEMORY_MAP_FAILED";
        case VK_ERROR_LAYER_NOT_PRESENT: return "VK_ERROR_LAYER_NOT_PRESENT";
        case VK_ERROR_EXTENSION_NOT_PRESENT: return "VK_ERROR_EXTENSION_NOT_PRESENT";
        case VK_ERROR_FEATURE_NOT_PRESENT: return "VK_ERROR_FEATURE_NOT_PRESENT";
        case VK_ERROR_INCOMPATIBLE_DRIVER: return "VK_ERROR_INCOMPATIBLE_DRIVER";
        case VK_ERROR_TOO_MANY_OBJECTS: return "VK_ERROR_TOO_MANY_OBJECTS";
        default: return "an unknown result";
    }
}

void fail(VkResult result, const char* call, const std::string& doing) {
    const std::string text = doing + ": " + call + ": " + result_name(result) + " (" + std::to_string(result) + ")";
    switch (result) {
        case VK_ERROR_DEVICE_LOST: throw Error(ORR_DEVICE_LOST, text + "; the device went away");
        case VK_ERROR_OUT_OF_HOST_MEMORY:
        case VK_ERROR_OUT_OF_DEVICE_MEMORY:
        case VK_ERROR_TOO_MANY_OBJECTS: throw Error(ORR_OUT_OF_MEMORY, text);
        default: throw Error(ORR_UNSUPPORTED, text);
    }
}

}  // namespace orrery::vulkan
