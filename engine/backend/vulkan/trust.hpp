// Which shaders a device may use: what its driver is known for, what the host leaves out, and what self-tests found, kept on disk between
// processes. Outlives a device that is lost: the one made in its place knows.
#pragma once
#include <map>
#include <mutex>
#include <set>
#include <string>
#include <vector>

#include <nlohmann/json.hpp>

#include "engine/backend/device.hpp"
#include "engine/backend/vulkan/pipeline.hpp"
#include "engine/backend/vulkan/quirks.hpp"

namespace orrery::vulkan {

class ShaderTrust {
  public:
    // tests: whether kernels are tested; else only quirks count. cache_dir: "" for none. without: patterns of names that the host leaves out.
    ShaderTrust(const Capability& capability, bool tests, const std::string& cache_dir, const std::vector<std::string>& without);
    ShaderTrust(const ShaderTrust&) = delete;
    ShaderTrust& operator=(const ShaderTrust&) = delete;

    bool tests() const { return tests_; }
    std::mutex& testing() { return testing_; }
    // See orr_vulkan_device. The text lives as long as this object.
    const char* refuses(const orr_vulkan_shader& shader);
    // Of pipelines that one node uses together.
    Trust of(const std::vector<PipelineKey>& keys);
    // Told what a test of them showed: `why` is empty when they are right. Else those of them that no other test has shown right are out of use;
    // returns whether one was not so before.
    bool judge(const std::vector<PipelineKey>& keys, const std::string& why, uint64_t ns);
    // The device was lost in a test of them. Once may be for another reason; the second time they are wrong.
    void lose(const std::vector<PipelineKey>& keys);
    bool knows(const std::string& test);
    void remember(const std::string& test);
    nlohmann::ordered_json describe() const;
    nlohmann::ordered_json describe_quirks() const;

  private:
    struct Shader {
        std::string name;
        uint64_t hash;
        auto operator<=>(const Shader&) const = default;
    };
    using Pipeline = std::pair<Shader, uint64_t>;  // and a hash of its constants
    struct Wrong {
        std::string why;
        bool suspect;  // tested with others only, of which one may be at fault
        bool active;
    };
    Shader identify(const orr_vulkan_shader& shader);
    Pipeline identify(const PipelineKey& key) { return {identify(*key.shader), constants_hash(key.constants)}; }
    static uint64_t constants_hash(const std::vector<uint32_t>& constants);
    bool judge_locked(const std::vector<PipelineKey>& keys, const std::string& why, uint64_t ns);
    std::string all_of(const std::vector<PipelineKey>& keys);
    void load();
    void save() const;
    const std::vector<const Quirk*> quirks_;
    const std::vector<std::string> without_;
    const std::string signature_;  // what the file is about; another driver, and it is as if there were none
    const bool tests_;
    std::string file_;
    std::mutex testing_;
    mutable std::mutex mutex_;
    std::vector<std::pair<std::string, std::string>> barred_;  // pattern of names and the text
    std::map<const orr_vulkan_shader*, Shader> shaders_;
    std::map<Shader, Wrong> wrong_;
    std::set<Pipeline> right_;
    std::set<std::string> lost_;  // tests in which the device was lost, by a hash of their pipelines
    std::set<std::string> tests_made_;  // in this process
    std::string tested_;                // when the last was made
    uint64_t ns_ = 0;                   // all that are on record
    uint64_t made_ = 0;                 // by this object
};

}  // namespace orrery::vulkan
