// The table of known drivers: which devices its rows are about.
#define VK_NO_PROTOTYPES
#include <vulkan/vulkan.h>

#include <algorithm>

#include "engine/backend/vulkan/quirks.hpp"
#include "support.hpp"

namespace engine_tests {
namespace {

using namespace orrery::vulkan;

orr_vulkan_device device(uint32_t vendor, VkDriverId driver, const char* name, uint32_t subgroup_min = 32, uint32_t version = 1) {
    orr_vulkan_device d{};
    d.header = ORR_HEADER(orr_vulkan_device);
    d.vendor_id = vendor, d.driver_id = driver, d.name = name;
    d.subgroup_min = subgroup_min, d.driver_version = version;
    return d;
}

// Features and shaders that are left out.
struct Left {
    uint64_t features = 0;
    std::vector<std::string> shaders;
    bool bars(const char* name) const {
        return std::any_of(shaders.begin(), shaders.end(), [&](const std::string& s) { return matches_name(s, name); });
    }
};
Left left_out(const orr_vulkan_device& d, const Traits& t = {}) {
    Left l;
    for (const Quirk& q : known_quirks())
        if (matches(q, d, t)) {
            l.features |= q.features;
            if (*q.shaders) l.shaders.emplace_back(q.shaders);
        }
    return l;
}

TEST(Quirks, NamesWithStars) {
    EXPECT_TRUE(matches_name("a", "a"));
    EXPECT_FALSE(matches_name("a", "ab"));
    EXPECT_TRUE(matches_name("attention_matrix*", "attention_matrix"));
    EXPECT_TRUE(matches_name("attention_matrix*", "attention_matrix_64"));
    EXPECT_FALSE(matches_name("attention_matrix*", "linear_attention_matrix"));
    EXPECT_TRUE(matches_name("*_subgroup", "rms_norm_subgroup"));
    EXPECT_FALSE(matches_name("*_subgroup", "rms_norm_subgroup_2"));
    EXPECT_TRUE(matches_name("*norm*group*", "rms_norm_subgroup_2"));
    EXPECT_TRUE(matches_name("*", ""));
    EXPECT_FALSE(matches_name("", "a"));
}

TEST(Quirks, RowsAreWhole) {
    for (const Quirk& q : known_quirks()) {
        EXPECT_TRUE(q.features || *q.shaders) << q.reason;
        EXPECT_GT(std::string(q.reason).size(), 10u);
        EXPECT_NE(std::string(q.source).find_first_of("0123456789"), std::string::npos) << q.reason;
        EXPECT_LE(q.first_version, q.last_version);
    }
}

TEST(Quirks, Nvidia) {
    const orr_vulkan_device turing = device(0x10de, VK_DRIVER_ID_NVIDIA_PROPRIETARY, "NVIDIA GeForce RTX 2060 SUPER");
    EXPECT_TRUE(left_out(turing, {true, 32}).bars("attention_matrix"));
    EXPECT_FALSE(left_out(turing, {true, 32}).bars("linear_f16_128"));
    EXPECT_EQ(left_out(turing, {true, 32}).features, 0u);
    EXPECT_TRUE(left_out(device(0x10de, VK_DRIVER_ID_NVIDIA_PROPRIETARY, "NVIDIA H200"), {true, 64}).shaders.empty());
    EXPECT_TRUE(left_out(device(0x10de, VK_DRIVER_ID_MESA_NVK, "NVIDIA GeForce RTX 2060 (NVK TU106)"), {true, 32}).shaders.empty());
}

TEST(Quirks, Intel) {
    const Left alchemist = left_out(device(0x8086, VK_DRIVER_ID_INTEL_OPEN_SOURCE_MESA, "Intel(R) Arc(tm) A770 Graphics (DG2)", 8));
    EXPECT_EQ(alchemist.features, uint64_t{ORR_VULKAN_COOPMAT | ORR_VULKAN_COOPMAT2 | ORR_VULKAN_BF16 | ORR_VULKAN_COOPMAT_MMA});
    EXPECT_TRUE(alchemist.bars("rms_norm_subgroup"));
    EXPECT_FALSE(alchemist.bars("attention_split_8"));
    EXPECT_EQ(left_out(device(0x8086, VK_DRIVER_ID_INTEL_OPEN_SOURCE_MESA, "Intel(R) Arc(tm) B580 Graphics (BMG G21)", 16)).features, 0u);
    const auto b70 = [](uint32_t version) { return left_out(device(0x8086, VK_DRIVER_ID_INTEL_PROPRIETARY_WINDOWS, "Intel(R) Arc(TM) Pro B70 Graphics", 16, version)).features; };
    EXPECT_TRUE(b70(101 << 14 | 8826) & ORR_VULKAN_COOPMAT);
    EXPECT_FALSE(b70(101 << 14 | 8827) & ORR_VULKAN_COOPMAT);
    EXPECT_FALSE(b70(101 << 14 | 8825) & ORR_VULKAN_COOPMAT);
}

TEST(Quirks, Amd) {
    const auto left = [](VkDriverId driver, bool mixed_dot) { return left_out(device(0x1002, driver, "AMD Radeon RX", 32), {mixed_dot, 0}).features; };
    EXPECT_TRUE(left(VK_DRIVER_ID_AMD_PROPRIETARY, false) & ORR_VULKAN_COOPMAT);
    EXPECT_TRUE(left(VK_DRIVER_ID_AMD_PROPRIETARY, false) & ORR_VULKAN_INT_DOT);
    EXPECT_TRUE(left(VK_DRIVER_ID_AMD_OPEN_SOURCE, false) & ORR_VULKAN_COOPMAT);
    EXPECT_FALSE(left(VK_DRIVER_ID_AMD_OPEN_SOURCE, false) & ORR_VULKAN_INT_DOT);
    EXPECT_EQ(left(VK_DRIVER_ID_AMD_PROPRIETARY, true), 0u);
    EXPECT_EQ(left(VK_DRIVER_ID_MESA_RADV, false), 0u);
}

TEST(Quirks, OthersAreLeftAlone) {
    EXPECT_TRUE(left_out(device(0x10005, VK_DRIVER_ID_MESA_LLVMPIPE, "llvmpipe (LLVM 15.0.6, 256 bits)", 8)).shaders.empty());
    EXPECT_EQ(left_out(device(0x10005, VK_DRIVER_ID_MESA_LLVMPIPE, "llvmpipe (LLVM 15.0.6, 256 bits)", 8)).features, 0u);
    EXPECT_EQ(left_out(device(0x5143, VK_DRIVER_ID_QUALCOMM_PROPRIETARY, "Adreno (TM) 740", 64)).features, 0u);
}

}  // namespace
}  // namespace engine_tests
