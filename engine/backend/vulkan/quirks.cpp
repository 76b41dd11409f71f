#include "engine/backend/vulkan/quirks.hpp"

#define VK_NO_PROTOTYPES
#include <vulkan/vulkan.h>

#include <algorithm>

namespace orrery::vulkan {
namespace {
constexpr uint32_t kAmd = 0x1002, kIntel = 0x8086, kNvidia = 0x10de;
constexpr uint64_t kMatrices = ORR_VULKAN_COOPMAT | ORR_VULKAN_COOPMAT2 | ORR_VULKAN_BF16 | ORR_VULKAN_COOPMAT_MMA;

// Intel's own driver for Windows counts 14 bits behind the point.
constexpr uint32_t intel_windows(uint32_t major, uint32_t minor) { return major << 14 | minor; }
}  // namespace

// Rows are facts that a source tells. Looked at and without a row: bytes unpacked from 16-bit integers on AMD's driver for Windows (llama.cpp
// PR 12472, 17285), since no shader here does that; submissions that i915 cancels without a word (llama.cpp issue 27634), which the end marks
// of Queue show on every device.
const std::vector<Quirk>& known_quirks() {
    static const std::vector<Quirk> quirks = {
        {kNvidia, {VK_DRIVER_ID_NVIDIA_PROPRIETARY}, "", 0, UINT32_MAX, [](const orr_vulkan_device&, const Traits& t) { return t.sm_warps == 32; }, 0, "attention_matrix*",
         "on Turing the driver builds attention on cooperative matrices wrong", "llama.cpp PR 19290"},
        {kIntel, {}, "", 0, UINT32_MAX, [](const orr_vulkan_device& d, const Traits&) { return d.subgroup_min < 16; }, kMatrices, "",
         "before Xe2 cooperative matrices are emulated, or slower than plain shaders", "llama.cpp PR 10597, PR 24404"},
        {kIntel, {VK_DRIVER_ID_INTEL_PROPRIETARY_WINDOWS}, "B70", intel_windows(101, 8826), intel_windows(101, 8826), nullptr, kMatrices, "",
         "the driver crashes where cooperative matrices are used", "llama.cpp issue 24005"},
        {kIntel, {}, "", 0, UINT32_MAX, nullptr, 0, "*_subgroup",
         "the size of subgroups varies within a dispatch, unless a shader requires one", "llama.cpp PR 17356, PR 17374"},
        {kAmd, {VK_DRIVER_ID_AMD_PROPRIETARY, VK_DRIVER_ID_AMD_OPEN_SOURCE}, "", 0, UINT32_MAX, [](const orr_vulkan_device&, const Traits& t) { return !t.mixed_dot; }, kMatrices, "",
         "before RDNA3 these drivers claim cooperative matrices that the hardware lacks", "llama.cpp PR 10597, issue 10710"},
        {kAmd, {VK_DRIVER_ID_AMD_PROPRIETARY}, "", 0, UINT32_MAX, [](const orr_vulkan_device&, const Traits& t) { return !t.mixed_dot; }, ORR_VULKAN_INT_DOT, "",
         "before RDNA3 the driver claims integer dot products and gives wrong ones", "audio.cpp PR 193, ollama issue 13108"},
    };
    return quirks;
}

bool matches_name(std::string_view pattern, std::string_view name) {
    const size_t star = pattern.find('*');
    if (star == std::string_view::npos) return pattern == name;
    if (name.substr(0, star) != pattern.substr(0, star)) return false;
    const std::string_view rest = pattern.substr(star + 1);
    for (size_t at = star; at <= name.size(); at++)
        if (matches_name(rest, name.substr(at))) return true;
    return false;
}

bool matches(const Quirk& q, const orr_vulkan_device& d, const Traits& t) {
    if (q.vendor_id && q.vendor_id != d.vendor_id) return false;
    if (!q.driver_ids.empty() && std::find(q.driver_ids.begin(), q.driver_ids.end(), d.driver_id) == q.driver_ids.end()) return false;
    if (std::string_view(d.name).find(q.name) == std::string_view::npos) return false;
    if (d.driver_version < q.first_version || d.driver_version > q.last_version) return false;
    return !q.applies || q.applies(d, t);
}

}  // namespace orrery::vulkan
