// Compute pipelines, built when first needed and kept on disk between processes.
#pragma once
#include <map>
#include <mutex>
#include <string>
#include <vector>

#include "engine/backend/vulkan/capability.hpp"

namespace orrery::vulkan {

struct PipelineKey {
    const orr_vulkan_shader* shader;
    std::vector<uint32_t> constants;
    auto operator<=>(const PipelineKey&) const = default;
};

class Pipelines {
  public:
    // cache_dir: "" for none.
    Pipelines(const DeviceApi& api, VkDevice device, const Capability& capability, const std::string& cache_dir);
    ~Pipelines();
    Pipelines(const Pipelines&) = delete;
    Pipelines& operator=(const Pipelines&) = delete;

    VkPipelineLayout layout() const { return layout_; }
    // Builds those that are missing, in parallel, and writes the disk cache when there were any. Throws the first failure.
    void build(const std::vector<PipelineKey>& keys);
    // VK_NULL_HANDLE when it was not built.
    VkPipeline find(const PipelineKey& key) const;
    size_t count() const;
    const std::string& cache_file() const { return cache_file_; }

  private:
    VkPipeline compile(const PipelineKey& key) const;
    void load_cache(const std::string& cache_dir);
    void save_cache() const;
    DeviceApi api_;
    VkDevice device_;
    const Capability& capability_;
    VkPipelineLayout layout_ = VK_NULL_HANDLE;
    VkPipelineCache cache_ = VK_NULL_HANDLE;
    std::string cache_file_;
    mutable std::mutex mutex_;
    std::map<PipelineKey, VkPipeline> built_;
};

}  // namespace orrery::vulkan
