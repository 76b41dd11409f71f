#include "engine/backend/vulkan/instance.hpp"

#include <algorithm>

#include "orrery/plugin.hpp"

namespace orrery::vulkan {

Instance::Instance(const orr_vulkan_host* host) {
    const GlobalApi global = load_global(host ? reinterpret_cast<PFN_vkGetInstanceProcAddr>(host->get_instance_proc_addr) : nullptr);
    if (host && host->instance) {
        api_ = load_instance(global, static_cast<VkInstance>(host->instance));
        devices_.push_back(static_cast<VkPhysicalDevice>(host->physical_device));
        return;
    }
    uint32_t version = VK_API_VERSION_1_0;
    if (global.EnumerateInstanceVersion) global.EnumerateInstanceVersion(&version);
    if (version < VK_API_VERSION_1_2) throw Error(ORR_UNSUPPORTED, "Vulkan: the loader has version 1." + std::to_string(VK_API_VERSION_MINOR(version)) + ", 1.2 is needed");
    VkApplicationInfo application{};
    application.sType = VK_STRUCTURE_TYPE_APPLICATION_INFO;
    application.pEngineName = "orrery";
    application.apiVersion = std::min<uint32_t>(version, VK_API_VERSION_1_3);
    VkInstanceCreateInfo info{};
    info.sType = VK_STRUCTURE_TYPE_INSTANCE_CREATE_INFO;
    info.pApplicationInfo = &application;
    if (const VkResult r = global.CreateInstance(&info, nullptr, &handle_.instance); r != VK_SUCCESS) {
        handle_.instance = VK_NULL_HANDLE;
        fail(r, "vkCreateInstance", "Vulkan");
    }
    handle_.destroy = reinterpret_cast<PFN_vkDestroyInstance>(global.GetInstanceProcAddr(handle_.instance, "vkDestroyInstance"));
    api_ = load_instance(global, handle_.instance);
    uint32_t n = 0;
    VkResult r = api_.EnumeratePhysicalDevices(handle_.instance, &n, nullptr);
    devices_.resize(n);
    if (r == VK_SUCCESS && n > 0) r = api_.EnumeratePhysicalDevices(handle_.instance, &n, devices_.data());
    if (r != VK_SUCCESS) fail(r, "vkEnumeratePhysicalDevices", "Vulkan");
    const auto rank = [&](VkPhysicalDevice d) {
        VkPhysicalDeviceProperties p;
        api_.GetPhysicalDeviceProperties(d, &p);
        switch (p.deviceType) {
            case VK_PHYSICAL_DEVICE_TYPE_DISCRETE_GPU: return 0;
            case VK_PHYSICAL_DEVICE_TYPE_INTEGRATED_GPU: return 1;
            case VK_PHYSICAL_DEVICE_TYPE_VIRTUAL_GPU: return 2;
            default: return 3;
        }
    };
    std::stable_sort(devices_.begin(), devices_.end(), [&](VkPhysicalDevice a, VkPhysicalDevice b) { return rank(a) < rank(b); });
}

}  // namespace orrery::vulkan
