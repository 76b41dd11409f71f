// What a physical device has, and which of it is enabled.
#pragma once
#include <string>
#include <vector>

#include "engine/backend/vulkan/loader.hpp"
#include "engine/backend/vulkan/quirks.hpp"
#include "orrery/ext/vulkan.h"

namespace orrery::vulkan {

// Features and extensions to make a device with. The chain points into itself: not copied.
struct Enabled {
    Enabled() = default;
    Enabled(const Enabled&) = delete;
    Enabled& operator=(const Enabled&) = delete;
    VkPhysicalDeviceFeatures2 features{VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_FEATURES_2, nullptr, {}};
    VkPhysicalDeviceVulkan11Features v11{VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_VULKAN_1_1_FEATURES, nullptr, {}, {}, {}, {}, {}, {}, {}, {}, {}, {}, {}, {}};
    VkPhysicalDeviceVulkan12Features v12{};
    VkPhysicalDeviceSubgroupSizeControlFeatures subgroup_size{};
    VkPhysicalDeviceShaderIntegerDotProductFeatures integer_dot{};
#ifdef VK_KHR_cooperative_matrix
    VkPhysicalDeviceCooperativeMatrixFeaturesKHR coopmat{};
#endif
#ifdef VK_NV_cooperative_matrix2
    VkPhysicalDeviceCooperativeMatrix2FeaturesNV coopmat2{};
#endif
#ifdef VK_KHR_shader_bfloat16
    VkPhysicalDeviceShaderBfloat16FeaturesKHR bfloat16{};
#endif
    std::vector<const char*> extensions;
};

class ShaderTrust;
struct DeviceTable : orr_vulkan_device {
    ShaderTrust* trust;  // of `refuses`
};

struct Capability {
    DeviceTable table{};  // for kernels; name points at `name`
    std::string name, driver;
    uint64_t heap_bytes = 0;    // of device-local memory
    uint64_t largest_allocation = 0;
    float timestamp_ns = 0;     // 0: no timestamps
    uint32_t queue_family = 0;
    VkPhysicalDeviceMemoryProperties memory{};
    uint8_t cache_uuid[VK_UUID_SIZE]{};
    std::vector<std::string> missing;  // fast paths that the device lacks, for people
    Traits traits;
    std::vector<const Quirk*> quirks;  // that apply; what they leave out is not among the features
};

// Part of file names: the same for the same device and driver.
constexpr const char* kCachePrefix = "vulkan-";  // of its files
std::string cache_name(const Capability& capability);
// For people: "cooperative matrices (KHR), integer dot products".
std::string feature_names(uint64_t features);

// Throws Error(ORR_UNSUPPORTED) with the reason when the engine cannot use the device. Fills `enabled` with what to switch on.
void read_capability(const InstanceApi& api, VkPhysicalDevice physical, Capability& capability, Enabled& enabled);
// The same for a device that the host has made: only what it says it enabled counts.
void read_capability(const InstanceApi& api, const orr_vulkan_host& host, Capability& capability);

}  // namespace orrery::vulkan
