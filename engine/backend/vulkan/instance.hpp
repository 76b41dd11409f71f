// One Vulkan instance of an engine, and the devices that it finds.
#pragma once
#include <memory>
#include <string>
#include <vector>

#include "engine/backend/vulkan/capability.hpp"

namespace orrery::vulkan {

class Instance {
  public:
    // host: its instance is used, or its loader; NULL: the system's.
    explicit Instance(const orr_vulkan_host* host);
    Instance(const Instance&) = delete;
    Instance& operator=(const Instance&) = delete;

    const InstanceApi& api() const { return api_; }
    // Best first: cards, then chips that share memory, then software.
    const std::vector<VkPhysicalDevice>& physical_devices() const { return devices_; }

  private:
    // Goes also where the constructor fails half-way; the host's is not in it.
    struct Handle {
        ~Handle() {
            if (instance && destroy) destroy(instance, nullptr);
        }
        VkInstance instance = VK_NULL_HANDLE;
        PFN_vkDestroyInstance destroy = nullptr;
    } handle_;
    InstanceApi api_;
    std::vector<VkPhysicalDevice> devices_;
};

}  // namespace orrery::vulkan
