#include "engine/backend/vulkan/pipeline.hpp"

#include <algorithm>
#include <atomic>
#include <cstring>
#include <exception>
#include <filesystem>
#include <thread>

#include "engine/platform/cpu.hpp"
#include "engine/platform/files.hpp"
#include "orrery/plugin.hpp"

namespace orrery::vulkan {
namespace {

// In front of the driver's bytes. Drivers check their own header; what lies behind it they trust.
struct CacheHead {
    char magic[8] = {'O', 'R', 'R', 'P', 'I', 'P', 'E', '1'};
    uint64_t bytes = 0, hash = 0;
};

uint64_t hash_of(const void* data, uint64_t bytes) {
    uint64_t h = 1469598103934665603u;  // FNV-1a
    for (uint64_t i = 0; i < bytes; i++) h = (h ^ static_cast<const unsigned char*>(data)[i]) * 1099511628211u;
    return h;
}

}  // namespace

Pipelines::Pipelines(const DeviceApi& api, VkDevice device, const Capability& capability, const std::string& cache_dir) : api_(api), device_(device), capability_(capability) {
    VkPushConstantRange range{VK_SHADER_STAGE_COMPUTE_BIT, 0, std::min(capability.table.push_bytes, 256u)};
    VkPipelineLayoutCreateInfo info{};
    info.sType = VK_STRUCTURE_TYPE_PIPELINE_LAYOUT_CREATE_INFO;
    info.pushConstantRangeCount = 1;
    info.pPushConstantRanges = &range;
    if (const VkResult r = api_.CreatePipelineLayout(device_, &info, nullptr, &layout_); r != VK_SUCCESS) fail(r, "vkCreatePipelineLayout", capability.name);
    try {
        load_cache(cache_dir);
    } catch (...) {
        api_.DestroyPipelineLayout(device_, layout_, nullptr);
        throw;
    }
}

Pipelines::~Pipelines() {
    for (const auto& [key, pipeline] : built_) api_.DestroyPipeline(device_, pipeline, nullptr);
    if (cache_) api_.DestroyPipelineCache(device_, cache_, nullptr);
    api_.DestroyPipelineLayout(device_, layout_, nullptr);
}

void Pipelines::load_cache(const std::string& cache_dir) {
    std::vector<char> initial;
    if (!cache_dir.empty()) {
        platform::remove_abandoned(cache_dir, kCachePrefix);
        cache_file_ = cache_dir + "/" + cache_name(capability_) + ".bin";
        // Damaged or of another version: left out, and written anew with the next pipeline.
        try {
            const platform::MappedFile file(cache_file_);
            CacheHead head;
            if (file.size() >= sizeof head) {
                std::memcpy(&head, file.data(), sizeof head);
                const char* body = static_cast<const char*>(file.data()) + sizeof head;
                if (std::memcmp(head.magic, CacheHead().magic, sizeof head.magic) == 0 && head.bytes == file.size() - sizeof head && head.hash == hash_of(body, head.bytes)) initial.assign(body, body + head.bytes);
            }
        } catch (const Error&) {
        }
    }
    VkPipelineCacheCreateInfo info{};
    info.sType = VK_STRUCTURE_TYPE_PIPELINE_CACHE_CREATE_INFO;
    info.initialDataSize = initial.size();
    info.pInitialData = initial.data();
    if (api_.CreatePipelineCache(device_, &info, nullptr, &cache_) == VK_SUCCESS) return;
    info.initialDataSize = 0;
    info.pInitialData = nullptr;
    if (api_.CreatePipelineCache(device_, &info, nullptr, &cache_) != VK_SUCCESS) cache_ = VK_NULL_HANDLE;
}

void Pipelines::save_cache() const {
    if (cache_file_.empty() || !cache_) return;
    size_t bytes = 0;
    if (api_.GetPipelineCacheData(device_, cache_, &bytes, nullptr) != VK_SUCCESS || bytes == 0) return;
    std::vector<char> out(sizeof(CacheHead) + bytes);
    if (api_.GetPipelineCacheData(device_, cache_, &bytes, out.data() + sizeof(CacheHead)) != VK_SUCCESS) return;
    CacheHead head;
    head.bytes = bytes;
    head.hash = hash_of(out.data() + sizeof head, bytes);
    std::memcpy(out.data(), &head, sizeof head);
    std::error_code ignored;
    std::filesystem::create_directories(std::filesystem::path(cache_file_).parent_path(), ignored);
    platform::replace_file(cache_file_, out.data(), sizeof head + bytes);
}

VkPipeline Pipelines::compile(const PipelineKey& key) const {
    const orr_vulkan_shader& s = *key.shader;
    VkShaderModuleCreateInfo code{};
    code.sType = VK_STRUCTURE_TYPE_SHADER_MODULE_CREATE_INFO;
    code.codeSize = s.code_bytes;
    code.pCode = s.code;
    VkShaderModule module = VK_NULL_HANDLE;
    const std::string doing = std::string("shader ") + s.name;
    if (const VkResult r = api_.CreateShaderModule(device_, &code, nullptr, &module); r != VK_SUCCESS) fail(r, "vkCreateShaderModule", doing);
    std::vector<VkSpecializationMapEntry> entries;
    for (uint32_t i = 0; i < key.constants.size(); i++) entries.push_back({i, i * 4, 4});
    const VkSpecializationInfo constants{static_cast<uint32_t>(entries.size()), entries.data(), key.constants.size() * 4, key.constants.data()};
    VkPipelineShaderStageRequiredSubgroupSizeCreateInfo subgroup{};
    subgroup.sType = VK_STRUCTURE_TYPE_PIPELINE_SHADER_STAGE_REQUIRED_SUBGROUP_SIZE_CREATE_INFO;
    subgroup.requiredSubgroupSize = s.subgroup;
    VkComputePipelineCreateInfo info{};
    info.sType = VK_STRUCTURE_TYPE_COMPUTE_PIPELINE_CREATE_INFO;
    info.stage.sType = VK_STRUCTURE_TYPE_PIPELINE_SHADER_STAGE_CREATE_INFO;
    info.stage.stage = VK_SHADER_STAGE_COMPUTE_BIT;
    info.stage.module = module;
    info.stage.pName = "main";
    info.stage.pSpecializationInfo = &constants;
    if (s.subgroup && (capability_.table.features & ORR_VULKAN_SUBGROUP_SIZE)) {
        info.stage.pNext = &subgroup;
        info.stage.flags = VK_PIPELINE_SHADER_STAGE_CREATE_REQUIRE_FULL_SUBGROUPS_BIT;
    }
    info.layout = layout_;
    VkPipeline pipeline = VK_NULL_HANDLE;
    const VkResult result = api_.CreateComputePipelines(device_, cache_, 1, &info, nullptr, &pipeline);
    api_.DestroyShaderModule(device_, module, nullptr);
    if (result != VK_SUCCESS) fail(result, "vkCreateComputePipelines", doing);
    return pipeline;
}

void Pipelines::build(const std::vector<PipelineKey>& keys) {
    std::vector<PipelineKey> todo;
    {
        const std::lock_guard lock(mutex_);
        for (const auto& k : keys)
            if (!built_.count(k) && std::find(todo.begin(), todo.end(), k) == todo.end()) todo.push_back(k);
    }
    if (todo.empty()) return;
    std::atomic<size_t> next{0};
    std::exception_ptr failure;
    const auto work = [&] {
        for (size_t i = next++; i < todo.size(); i = next++) try {
                VkPipeline pipeline = compile(todo[i]);
                const std::lock_guard lock(mutex_);
                if (!built_.emplace(todo[i], pipeline).second) api_.DestroyPipeline(device_, pipeline, nullptr);  // another session was faster
            } catch (...) {
                const std::lock_guard lock(mutex_);
                if (!failure) failure = std::current_exception();
            }
    };
    std::vector<std::thread> helpers;
    try {
        const size_t most = std::min<size_t>(todo.size(), std::max(1u, platform::hardware_threads()));
        while (helpers.size() + 1 < most) helpers.emplace_back(work);
    } catch (const std::system_error&) {  // fewer do as well
    }
    work();
    for (auto& h : helpers) h.join();
    if (failure) std::rethrow_exception(failure);
    save_cache();
}

VkPipeline Pipelines::find(const PipelineKey& key) const {
    const std::lock_guard lock(mutex_);
    const auto it = built_.find(key);
    return it == built_.end() ? VK_NULL_HANDLE : it->second;
}

size_t Pipelines::count() const {
    const std::lock_guard lock(mutex_);
    return built_.size();
}

}  // namespace orrery::vulkan
