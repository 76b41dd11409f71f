// What is known of drivers: features and shaders that are left alone on some devices, and why.
#pragma once
#include <cstdint>
#include <string_view>
#include <vector>

#include "orrery/ext/vulkan.h"

namespace orrery::vulkan {

// What tells generations of one vendor apart, where no number does.
struct Traits {
    bool mixed_dot = false;      // dot products of signed by unsigned bytes, in hardware
    uint32_t sm_warps = 0;       // of a multiprocessor; 0: not told
};

struct Quirk {
    uint32_t vendor_id;          // 0: any
    std::vector<uint32_t> driver_ids;  // VkDriverId; empty: any
    const char* name;            // part of the device's name; "": any
    uint32_t first_version, last_version;  // of the driver, as it numbers itself; 0, UINT32_MAX: any
    bool (*applies)(const orr_vulkan_device& d, const Traits& t);  // or NULL
    uint64_t features;           // ORR_VULKAN_* to leave out
    const char* shaders;         // names to leave out, '*' stands for any text; "": none
    const char* reason;
    const char* source;
};

const std::vector<Quirk>& known_quirks();
bool matches(const Quirk& q, const orr_vulkan_device& device, const Traits& traits);
bool matches_name(std::string_view pattern, std::string_view name);

}  // namespace orrery::vulkan
