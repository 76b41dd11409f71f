#include "engine/backend/vulkan/capability.hpp"

#include <algorithm>
#include <cstdio>
#include <cstring>

#include "orrery/plugin.hpp"

namespace orrery::vulkan {
namespace {

constexpr std::pair<uint64_t, const char*> kFeatureNames[] = {{ORR_VULKAN_F16, "f16 arithmetic"},
                                                              {ORR_VULKAN_INT8, "8-bit integer arithmetic"},
                                                              {ORR_VULKAN_INT16, "16-bit integer arithmetic"},
                                                              {ORR_VULKAN_STORAGE_16, "16-bit storage"},
                                                              {ORR_VULKAN_STORAGE_8, "8-bit storage"},
                                                              {ORR_VULKAN_INT_DOT, "integer dot products"},
                                                              {ORR_VULKAN_SUBGROUP_SIZE, "subgroup size control"},
                                                              {ORR_VULKAN_MEMORY_MODEL, "the Vulkan memory model with device scope"},
                                                              {ORR_VULKAN_SUBGROUPS, "subgroup operations"},
                                                              {ORR_VULKAN_COOPMAT, "cooperative matrices (KHR)"},
                                                              {ORR_VULKAN_COOPMAT2, "cooperative matrices of workgroups (NV)"},
                                                              {ORR_VULKAN_BF16, "bf16 cooperative matrices"},
                                                              {ORR_VULKAN_COOPMAT_MMA, "cooperative matrices with known fragments"}};

using Names = std::vector<std::string>;
bool has(const Names& names, const char* name) { return std::find(names.begin(), names.end(), name) != names.end(); }

Names extension_names(const InstanceApi& api, VkPhysicalDevice physical) {
    uint32_t n = 0;
    api.EnumerateDeviceExtensionProperties(physical, nullptr, &n, nullptr);
    std::vector<VkExtensionProperties> list(n);
    api.EnumerateDeviceExtensionProperties(physical, nullptr, &n, list.data());
    Names out;
    for (uint32_t i = 0; i < n; i++) out.emplace_back(list[i].extensionName);
    return out;
}

// What of a feature chain matters here; each may stand in its own structure or in that of a version.
struct Found {
    bool f16 = false, int8 = false, int16 = false, storage8 = false, storage16 = false, address = false, timeline = false, memory_model = false, device_scope = false, subgroup_size = false, full_subgroups = false,
         dot = false, coopmat = false, coopmat2 = false, bf16 = false;
};

Found find_features(const VkPhysicalDeviceFeatures2* chain) {
    Found f;
    if (!chain) return f;
    f.int16 = chain->features.shaderInt16;
    for (auto* s = static_cast<const VkBaseInStructure*>(chain->pNext); s; s = s->pNext) {
        const void* p = s;
        switch (s->sType) {
            case VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_VULKAN_1_1_FEATURES: f.storage16 |= static_cast<const VkPhysicalDeviceVulkan11Features*>(p)->storageBuffer16BitAccess != 0; break;
            case VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_16BIT_STORAGE_FEATURES: f.storage16 |= static_cast<const VkPhysicalDevice16BitStorageFeatures*>(p)->storageBuffer16BitAccess != 0; break;
            case VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_VULKAN_1_2_FEATURES: {
                const auto& v = *static_cast<const VkPhysicalDeviceVulkan12Features*>(p);
                f.f16 |= v.shaderFloat16 != 0;
                f.int8 |= v.shaderInt8 != 0;
                f.storage8 |= v.storageBuffer8BitAccess != 0;
                f.address |= v.bufferDeviceAddress != 0;
                f.timeline |= v.timelineSemaphore != 0;
                f.memory_model |= v.vulkanMemoryModel != 0;
                f.device_scope |= v.vulkanMemoryModelDeviceScope != 0;
                break;
            }
            case VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_SHADER_FLOAT16_INT8_FEATURES:
                f.f16 |= static_cast<const VkPhysicalDeviceShaderFloat16Int8Features*>(p)->shaderFloat16 != 0;
                f.int8 |= static_cast<const VkPhysicalDeviceShaderFloat16Int8Features*>(p)->shaderInt8 != 0;
                break;
            case VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_8BIT_STORAGE_FEATURES: f.storage8 |= static_cast<const VkPhysicalDevice8BitStorageFeatures*>(p)->storageBuffer8BitAccess != 0; break;
            case VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_BUFFER_DEVICE_ADDRESS_FEATURES: f.address |= static_cast<const VkPhysicalDeviceBufferDeviceAddressFeatures*>(p)->bufferDeviceAddress != 0; break;
            case VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_TIMELINE_SEMAPHORE_FEATURES: f.timeline |= static_cast<const VkPhysicalDeviceTimelineSemaphoreFeatures*>(p)->timelineSemaphore != 0; break;
            case VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_VULKAN_MEMORY_MODEL_FEATURES:
                f.memory_model |= static_cast<const VkPhysicalDeviceVulkanMemoryModelFeatures*>(p)->vulkanMemoryModel != 0;
                f.device_scope |= static_cast<const VkPhysicalDeviceVulkanMemoryModelFeatures*>(p)->vulkanMemoryModelDeviceScope != 0;
                break;
            case VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_VULKAN_1_3_FEATURES: {
                const auto& v = *static_cast<const VkPhysicalDeviceVulkan13Features*>(p);
                f.subgroup_size |= v.subgroupSizeControl != 0;
                f.full_subgroups |= v.computeFullSubgroups != 0;
                f.dot |= v.shaderIntegerDotProduct != 0;
                break;
            }
            case VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_SUBGROUP_SIZE_CONTROL_FEATURES:
                f.subgroup_size |= static_cast<const VkPhysicalDeviceSubgroupSizeControlFeatures*>(p)->subgroupSizeControl != 0;
                f.full_subgroups |= static_cast<const VkPhysicalDeviceSubgroupSizeControlFeatures*>(p)->computeFullSubgroups != 0;
                break;
            case VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_SHADER_INTEGER_DOT_PRODUCT_FEATURES: f.dot |= static_cast<const VkPhysicalDeviceShaderIntegerDotProductFeatures*>(p)->shaderIntegerDotProduct != 0; break;
#ifdef VK_KHR_cooperative_matrix
            case VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_COOPERATIVE_MATRIX_FEATURES_KHR: f.coopmat |= static_cast<const VkPhysicalDeviceCooperativeMatrixFeaturesKHR*>(p)->cooperativeMatrix != 0; break;
#endif
#ifdef VK_NV_cooperative_matrix2
            case VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_COOPERATIVE_MATRIX_2_FEATURES_NV: {
                const auto& v = *static_cast<const VkPhysicalDeviceCooperativeMatrix2FeaturesNV*>(p);
                f.coopmat2 |= v.cooperativeMatrixWorkgroupScope && v.cooperativeMatrixFlexibleDimensions && v.cooperativeMatrixReductions && v.cooperativeMatrixConversions &&
                              v.cooperativeMatrixPerElementOperations && v.cooperativeMatrixTensorAddressing && v.cooperativeMatrixBlockLoads;
                break;
            }
#endif
#ifdef VK_KHR_shader_bfloat16
            case VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_SHADER_BFLOAT16_FEATURES_KHR: {
                const auto& v = *static_cast<const VkPhysicalDeviceShaderBfloat16FeaturesKHR*>(p);
                f.bf16 |= v.shaderBFloat16Type && v.shaderBFloat16CooperativeMatrix;
                break;
            }
#endif
            default: break;
        }
    }
    return f;
}

// Whether cooperative matrices of 16 x n x 16 come at subgroup scope, f16 with f32 sums.
bool has_wanted_matrices([[maybe_unused]] const InstanceApi& api, [[maybe_unused]] VkPhysicalDevice physical, [[maybe_unused]] uint32_t n_size) {
#ifdef VK_KHR_cooperative_matrix
    const auto query = reinterpret_cast<PFN_vkGetPhysicalDeviceCooperativeMatrixPropertiesKHR>(api.GetPhysicalDeviceCooperativeMatrixPropertiesKHR);
    if (!query) return false;
    uint32_t n = 0;
    if (query(physical, &n, nullptr) != VK_SUCCESS) return false;
    std::vector<VkCooperativeMatrixPropertiesKHR> list(n, {VK_STRUCTURE_TYPE_COOPERATIVE_MATRIX_PROPERTIES_KHR, nullptr, 0, 0, 0, {}, {}, {}, {}, {}, {}});
    if (query(physical, &n, list.data()) != VK_SUCCESS) return false;
    return std::any_of(list.begin(), list.end(), [n_size](const VkCooperativeMatrixPropertiesKHR& p) {
        return p.MSize == 16 && p.NSize == n_size && p.KSize == 16 && p.AType == VK_COMPONENT_TYPE_FLOAT16_KHR && p.BType == VK_COMPONENT_TYPE_FLOAT16_KHR && p.CType == VK_COMPONENT_TYPE_FLOAT32_KHR &&
               p.ResultType == VK_COMPONENT_TYPE_FLOAT32_KHR && p.scope == VK_SCOPE_SUBGROUP_KHR;
    });
#else
    return false;
#endif
}

// Whether matrices of 128 x 64 and 64 x 64 or 128 come at the scope of workgroups of 256 invocations, f16 with f32 sums, and leave a shader 4 KiB of shared memory.
bool has_wanted_workgroup_matrices([[maybe_unused]] const InstanceApi& api, [[maybe_unused]] VkPhysicalDevice physical) {
#ifdef VK_NV_cooperative_matrix2
    constexpr uint32_t kInvocations = 256, kLeastSide = 64, kMostSide = 128, kOwnShared = 4096;
    const auto query = reinterpret_cast<PFN_vkGetPhysicalDeviceCooperativeMatrixFlexibleDimensionsPropertiesNV>(api.GetPhysicalDeviceCooperativeMatrixFlexibleDimensionsPropertiesNV);
    if (!query) return false;
    VkPhysicalDeviceCooperativeMatrix2PropertiesNV most{VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_COOPERATIVE_MATRIX_2_PROPERTIES_NV, nullptr, 0, 0, 0};
    VkPhysicalDeviceProperties2 p{};
    p.sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_PROPERTIES_2;
    p.pNext = &most;
    api.GetPhysicalDeviceProperties2(physical, &p);
    if (most.cooperativeMatrixWorkgroupScopeMaxWorkgroupSize < kInvocations || most.cooperativeMatrixFlexibleDimensionsMaxDimension < kMostSide ||
        most.cooperativeMatrixWorkgroupScopeReservedSharedMemory + kOwnShared > p.properties.limits.maxComputeSharedMemorySize)
        return false;
    uint32_t n = 0;
    if (query(physical, &n, nullptr) != VK_SUCCESS) return false;
    std::vector<VkCooperativeMatrixFlexibleDimensionsPropertiesNV> list(n, {VK_STRUCTURE_TYPE_COOPERATIVE_MATRIX_FLEXIBLE_DIMENSIONS_PROPERTIES_NV, nullptr, 0, 0, 0, {}, {}, {}, {}, 0, {}, 0});
    if (query(physical, &n, list.data()) != VK_SUCCESS) return false;
    const auto fits = [](uint32_t granularity) { return granularity != 0 && kLeastSide % granularity == 0; };
    return std::any_of(list.begin(), list.end(), [&](const VkCooperativeMatrixFlexibleDimensionsPropertiesNV& m) {
        return fits(m.MGranularity) && fits(m.NGranularity) && fits(m.KGranularity) && m.AType == VK_COMPONENT_TYPE_FLOAT16_KHR && m.BType == VK_COMPONENT_TYPE_FLOAT16_KHR &&
               m.CType == VK_COMPONENT_TYPE_FLOAT32_KHR && m.ResultType == VK_COMPONENT_TYPE_FLOAT32_KHR && m.scope == VK_SCOPE_WORKGROUP_KHR && m.workgroupInvocations == kInvocations;
    });
#else
    return false;
#endif
}

uint32_t find_queue_family(const InstanceApi& api, VkPhysicalDevice physical) {
    uint32_t n = 0;
    api.GetPhysicalDeviceQueueFamilyProperties(physical, &n, nullptr);
    std::vector<VkQueueFamilyProperties> families(n);
    api.GetPhysicalDeviceQueueFamilyProperties(physical, &n, families.data());
    uint32_t best = UINT32_MAX;
    for (uint32_t i = 0; i < n; i++) {
        if (!(families[i].queueFlags & VK_QUEUE_COMPUTE_BIT)) continue;
        // A family without graphics does not stand in the way of what the screen shows.
        if (best == UINT32_MAX || (!(families[i].queueFlags & VK_QUEUE_GRAPHICS_BIT) && (families[best].queueFlags & VK_QUEUE_GRAPHICS_BIT))) best = i;
    }
    if (best == UINT32_MAX) throw Error(ORR_UNSUPPORTED, "no queue family can compute");
    return best;
}

// lacks: how to say that a feature is missing.
void fill(const InstanceApi& api, VkPhysicalDevice physical, const Found& found, const Names& extensions, const char* lacks, Capability& c) {
    VkPhysicalDeviceSubgroupProperties subgroup{};
    subgroup.sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_SUBGROUP_PROPERTIES;
    VkPhysicalDeviceSubgroupSizeControlProperties sizes{};
    sizes.sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_SUBGROUP_SIZE_CONTROL_PROPERTIES;
    VkPhysicalDeviceDriverProperties driver{};
    driver.sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_DRIVER_PROPERTIES;
    VkPhysicalDeviceMaintenance3Properties limits{};
    limits.sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_MAINTENANCE_3_PROPERTIES;
    VkPhysicalDeviceShaderIntegerDotProductProperties dot{};
    dot.sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_SHADER_INTEGER_DOT_PRODUCT_PROPERTIES;
    VkPhysicalDeviceShaderSMBuiltinsPropertiesNV multiprocessors{};
    multiprocessors.sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_SHADER_SM_BUILTINS_PROPERTIES_NV;
    VkPhysicalDeviceShaderCorePropertiesAMD cores{};
    cores.sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_SHADER_CORE_PROPERTIES_AMD;
    VkPhysicalDeviceProperties2 p{};
    p.sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_PROPERTIES_2;
    const auto chain = [&](auto& s) { s.pNext = p.pNext, p.pNext = &s; };
    chain(subgroup), chain(driver), chain(limits);
    if (found.subgroup_size) chain(sizes);
    if (found.dot) chain(dot);
    if (has(extensions, VK_NV_SHADER_SM_BUILTINS_EXTENSION_NAME)) chain(multiprocessors);
    if (has(extensions, VK_AMD_SHADER_CORE_PROPERTIES_EXTENSION_NAME)) chain(cores);
    api.GetPhysicalDeviceProperties2(physical, &p);
    const VkPhysicalDeviceProperties& base = p.properties;
    if (base.apiVersion < VK_API_VERSION_1_2)
        throw Error(ORR_UNSUPPORTED, "has Vulkan " + std::to_string(VK_API_VERSION_MAJOR(base.apiVersion)) + "." + std::to_string(VK_API_VERSION_MINOR(base.apiVersion)) + ", 1.2 is needed");
    if (!found.address) throw Error(ORR_UNSUPPORTED, std::string(lacks) + "bufferDeviceAddress");
    if (!found.timeline) throw Error(ORR_UNSUPPORTED, std::string(lacks) + "timelineSemaphore");
    c.name = base.deviceName;
    c.driver = std::string(driver.driverName) + " " + driver.driverInfo;
    std::memcpy(c.cache_uuid, base.pipelineCacheUUID, sizeof c.cache_uuid);
    c.timestamp_ns = base.limits.timestampComputeAndGraphics ? base.limits.timestampPeriod : 0;
    c.largest_allocation = limits.maxMemoryAllocationSize;
    api.GetPhysicalDeviceMemoryProperties(physical, &c.memory);
    for (uint32_t i = 0; i < c.memory.memoryHeapCount; i++)
        if (c.memory.memoryHeaps[i].flags & VK_MEMORY_HEAP_DEVICE_LOCAL_BIT) c.heap_bytes = std::max<uint64_t>(c.heap_bytes, c.memory.memoryHeaps[i].size);
    orr_vulkan_device& t = c.table;
    t.header = ORR_HEADER(orr_vulkan_device);
    t.name = c.name.c_str();
    t.api_version = base.apiVersion;
    t.vendor_id = base.vendorID;
    t.device_id = base.deviceID;
    t.driver_id = driver.driverID;
    t.driver_version = base.driverVersion;
    t.subgroup = subgroup.subgroupSize;
    t.subgroup_min = found.subgroup_size ? sizes.minSubgroupSize : t.subgroup;
    t.subgroup_max = found.subgroup_size ? sizes.maxSubgroupSize : t.subgroup;
    t.shared_bytes = base.limits.maxComputeSharedMemorySize;
    t.group_invocations = base.limits.maxComputeWorkGroupInvocations;
    std::copy_n(base.limits.maxComputeWorkGroupSize, 3, t.group_size);
    std::copy_n(base.limits.maxComputeWorkGroupCount, 3, t.groups);
    t.push_bytes = base.limits.maxPushConstantsSize;
    t.integrated = base.deviceType == VK_PHYSICAL_DEVICE_TYPE_INTEGRATED_GPU;
    t.software = base.deviceType == VK_PHYSICAL_DEVICE_TYPE_CPU;
    t.cores = multiprocessors.shaderSMCount ? multiprocessors.shaderSMCount
              : cores.shaderEngineCount     ? cores.shaderEngineCount * cores.shaderArraysPerEngineCount * cores.computeUnitsPerShaderArray
              : t.software                  ? 4
              : t.integrated                ? 8
                                            : 32;
    constexpr VkSubgroupFeatureFlags kWanted = VK_SUBGROUP_FEATURE_BASIC_BIT | VK_SUBGROUP_FEATURE_ARITHMETIC_BIT | VK_SUBGROUP_FEATURE_BALLOT_BIT | VK_SUBGROUP_FEATURE_SHUFFLE_BIT;
    const bool matrices = found.coopmat && has_wanted_matrices(api, physical, 16);
    const auto set = [&](bool on, uint64_t bit) { t.features |= on ? bit : 0; };
    set(found.f16, ORR_VULKAN_F16);
    set(found.int8, ORR_VULKAN_INT8);
    set(found.int16, ORR_VULKAN_INT16);
    set(found.storage16, ORR_VULKAN_STORAGE_16);
    set(found.storage8, ORR_VULKAN_STORAGE_8);
    set(found.dot && dot.integerDotProduct4x8BitPackedSignedAccelerated, ORR_VULKAN_INT_DOT);
    set(found.subgroup_size && found.full_subgroups, ORR_VULKAN_SUBGROUP_SIZE);
    set(found.memory_model && found.device_scope, ORR_VULKAN_MEMORY_MODEL);
    set((subgroup.supportedStages & VK_SHADER_STAGE_COMPUTE_BIT) && (subgroup.supportedOperations & kWanted) == kWanted, ORR_VULKAN_SUBGROUPS);
    set(matrices, ORR_VULKAN_COOPMAT);
    set(matrices && found.coopmat2 && has_wanted_workgroup_matrices(api, physical), ORR_VULKAN_COOPMAT2);
    set(matrices && found.bf16, ORR_VULKAN_BF16);
    set(matrices && driver.driverID == VK_DRIVER_ID_NVIDIA_PROPRIETARY && has_wanted_matrices(api, physical, 8), ORR_VULKAN_COOPMAT_MMA);
    c.traits = {found.dot && dot.integerDotProduct4x8BitPackedMixedSignednessAccelerated != 0, multiprocessors.shaderWarpsPerSM};
    for (const Quirk& q : known_quirks())
        if (matches(q, t, c.traits)) {
            c.quirks.push_back(&q);
            t.features &= ~q.features;
        }
    for (const auto& [bit, text] : kFeatureNames)
        if (!(t.features & bit)) c.missing.emplace_back(text);
}

}  // namespace

std::string cache_name(const Capability& c) {
    uint64_t h = 1469598103934665603u;  // FNV-1a
    for (const uint8_t b : c.cache_uuid) h = (h ^ b) * 1099511628211u;
    char name[96];
    std::snprintf(name, sizeof name, "%s%04x-%04x-%08x-%016llx", kCachePrefix, c.table.vendor_id, c.table.device_id, c.table.driver_version, static_cast<unsigned long long>(h));
    return name;
}

std::string feature_names(uint64_t features) {
    std::string text;
    for (const auto& [bit, name] : kFeatureNames)
        if (features & bit) text += (text.empty() ? "" : ", ") + std::string(name);
    return text;
}

void read_capability(const InstanceApi& api, VkPhysicalDevice physical, Capability& c, Enabled& e) {
    const Names names = extension_names(api, physical);
    VkPhysicalDeviceProperties base;
    api.GetPhysicalDeviceProperties(physical, &base);
    const auto chain = [&](auto& s, VkStructureType type) {
        s.sType = type;
        s.pNext = e.features.pNext;
        e.features.pNext = &s;
    };
    const auto offer = [&](const char* extension, auto& s, VkStructureType type) {
        if (!has(names, extension)) return false;
        e.extensions.push_back(extension);
        chain(s, type);
        return true;
    };
    chain(e.v11, VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_VULKAN_1_1_FEATURES);
    chain(e.v12, VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_VULKAN_1_2_FEATURES);
    if (base.apiVersion >= VK_API_VERSION_1_3) {
        chain(e.subgroup_size, VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_SUBGROUP_SIZE_CONTROL_FEATURES);
        chain(e.integer_dot, VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_SHADER_INTEGER_DOT_PRODUCT_FEATURES);
    } else {
        offer(VK_EXT_SUBGROUP_SIZE_CONTROL_EXTENSION_NAME, e.subgroup_size, VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_SUBGROUP_SIZE_CONTROL_FEATURES);
        offer(VK_KHR_SHADER_INTEGER_DOT_PRODUCT_EXTENSION_NAME, e.integer_dot, VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_SHADER_INTEGER_DOT_PRODUCT_FEATURES);
    }
#ifdef VK_KHR_cooperative_matrix
    offer(VK_KHR_COOPERATIVE_MATRIX_EXTENSION_NAME, e.coopmat, VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_COOPERATIVE_MATRIX_FEATURES_KHR);
#endif
#ifdef VK_NV_cooperative_matrix2
    offer(VK_NV_COOPERATIVE_MATRIX_2_EXTENSION_NAME, e.coopmat2, VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_COOPERATIVE_MATRIX_2_FEATURES_NV);
#endif
#ifdef VK_KHR_shader_bfloat16
    offer(VK_KHR_SHADER_BFLOAT16_EXTENSION_NAME, e.bfloat16, VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_SHADER_BFLOAT16_FEATURES_KHR);
#endif
    if (has(names, VK_NV_SHADER_SM_BUILTINS_EXTENSION_NAME)) e.extensions.push_back(VK_NV_SHADER_SM_BUILTINS_EXTENSION_NAME);
    if (has(names, VK_EXT_MEMORY_BUDGET_EXTENSION_NAME)) e.extensions.push_back(VK_EXT_MEMORY_BUDGET_EXTENSION_NAME);
    api.GetPhysicalDeviceFeatures2(physical, &e.features);
    fill(api, physical, find_features(&e.features), names, "lacks the feature ", c);
    c.queue_family = find_queue_family(api, physical);
    // Only what is used is switched on: some features cost speed (robust access), others make drivers compile differently.
    const VkBool32 int16 = e.features.features.shaderInt16;
    e.features.features = {};
    e.features.features.shaderInt16 = int16;
    const auto v11 = e.v11;
    const auto v12 = e.v12;
    const auto keep = [](auto& s) {
        using Base = VkBaseOutStructure;
        const Base head = *reinterpret_cast<Base*>(&s);
        s = {};
        *reinterpret_cast<Base*>(&s) = head;
    };
    keep(e.v11), keep(e.v12);
    e.v11.storageBuffer16BitAccess = v11.storageBuffer16BitAccess;
    e.v12.storageBuffer8BitAccess = v12.storageBuffer8BitAccess;
    e.v12.shaderFloat16 = v12.shaderFloat16;
    e.v12.shaderInt8 = v12.shaderInt8;
    e.v12.bufferDeviceAddress = v12.bufferDeviceAddress;
    e.v12.timelineSemaphore = v12.timelineSemaphore;
    e.v12.vulkanMemoryModel = v12.vulkanMemoryModel;
    e.v12.vulkanMemoryModelDeviceScope = v12.vulkanMemoryModelDeviceScope;
}

void read_capability(const InstanceApi& api, const orr_vulkan_host& host, Capability& c) {
    Names names;
    for (const char* const* n = host.extensions; n && *n; n++) names.emplace_back(*n);
    const auto physical = static_cast<VkPhysicalDevice>(host.physical_device);
    const auto minor = [](uint32_t v) { return std::to_string(VK_API_VERSION_MAJOR(v)) + "." + std::to_string(VK_API_VERSION_MINOR(v)); };
    if (host.api_version < VK_API_VERSION_1_2) throw Error(ORR_UNSUPPORTED, "orr_vulkan_host: the instance was made for Vulkan " + minor(host.api_version) + ", 1.2 is needed");
    uint32_t n = 0;
    api.GetPhysicalDeviceQueueFamilyProperties(physical, &n, nullptr);
    std::vector<VkQueueFamilyProperties> families(n);
    api.GetPhysicalDeviceQueueFamilyProperties(physical, &n, families.data());
    if (host.queue_family >= n) throw Error(ORR_INVALID_ARGUMENT, "orr_vulkan_host: queue_family is " + std::to_string(host.queue_family) + ", the device has " + std::to_string(n));
    if (!(families[host.queue_family].queueFlags & VK_QUEUE_COMPUTE_BIT)) throw Error(ORR_INVALID_ARGUMENT, "orr_vulkan_host: queue_family " + std::to_string(host.queue_family) + " cannot compute");
    if (!host.features) throw Error(ORR_INVALID_ARGUMENT, "orr_vulkan_host: features is NULL; bufferDeviceAddress and timelineSemaphore are needed");
    Found found = find_features(static_cast<const VkPhysicalDeviceFeatures2*>(host.features));
    // A feature of an extension that was not enabled is nothing.
    VkPhysicalDeviceProperties base;
    api.GetPhysicalDeviceProperties(physical, &base);
    const uint32_t version = std::min(host.api_version, base.apiVersion);
    const bool v13 = version >= VK_API_VERSION_1_3;
    if (!v13 && !has(names, VK_EXT_SUBGROUP_SIZE_CONTROL_EXTENSION_NAME)) found.subgroup_size = found.full_subgroups = false;
    if (!v13 && !has(names, VK_KHR_SHADER_INTEGER_DOT_PRODUCT_EXTENSION_NAME)) found.dot = false;
    found.coopmat = found.coopmat && has(names, "VK_KHR_cooperative_matrix");
    found.coopmat2 = found.coopmat2 && has(names, "VK_NV_cooperative_matrix2");
    found.bf16 = found.bf16 && has(names, "VK_KHR_shader_bfloat16");
    fill(api, physical, found, names, "the host made its device without the feature ", c);
    c.table.api_version = version;
    c.queue_family = host.queue_family;
}

}  // namespace orrery::vulkan
