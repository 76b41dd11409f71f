// A small renderer: a Vulkan device, a queue, two compute passes. It knows nothing of models; share() is all that it tells an engine.
#pragma once
#define VK_NO_PROTOTYPES
#include <vulkan/vulkan.h>

#include <cstdint>
#include <memory>
#include <mutex>
#include <stdexcept>
#include <string>
#include <vector>

#include "orrery/ext/vulkan.h"

struct NoDevice : std::runtime_error {
    using std::runtime_error::runtime_error;
};

// A point of a timeline; semaphore VK_NULL_HANDLE: none.
struct Moment {
    VkSemaphore semaphore = VK_NULL_HANDLE;
    uint64_t value = 0;
};

class Renderer {
  public:
    struct Buffer {
        VkBuffer buffer = VK_NULL_HANDLE;
        VkDeviceMemory memory = VK_NULL_HANDLE;
        uint64_t bytes = 0, address = 0;
        VkBufferUsageFlags usage = 0;
        char* mapped = nullptr;  // these are all visible to the host, which looks at them for the check alone
    };
    struct FillPush {
        uint64_t picture;
        uint32_t channels, height, width;
        float time;
    };
    struct ShadePush {
        uint64_t scores, bars;
        uint32_t classes, rows;
    };

    Renderer();  // throws NoDevice
    ~Renderer();
    Renderer(const Renderer&) = delete;
    Renderer& operator=(const Renderer&) = delete;

    // What an engine needs to work on this device; points into this.
    orr_vulkan_host share();
    const std::string& device_name() const { return name_; }
    Buffer make_buffer(uint64_t bytes);
    void release(Buffer& buffer);
    VkSemaphore timeline() const { return timeline_; }
    // Passes are submitted and not waited for. Slot: one of kSlots command buffers, whose last submission must have ended.
    static constexpr uint32_t kSlots = 4;
    void fill(uint32_t slot, const FillPush& push, Moment after, Moment then);
    void shade(uint32_t slot, const ShadePush& push, Moment after, Moment then);
    void wait(Moment moment);

  private:
    struct Calls;  // Vulkan's functions
    struct Pass {
        VkPipelineLayout layout = VK_NULL_HANDLE;
        VkPipeline pipeline = VK_NULL_HANDLE;
    };
    void make_instance();
    void choose_device();
    void make_device();
    Pass make_pass(const uint32_t* code, size_t bytes, uint32_t push_bytes);
    void submit(uint32_t slot, const Pass& pass, const void* push, uint32_t push_bytes, uint32_t invocations, Moment after, Moment then);
    void close();
    std::unique_ptr<Calls> vk_;
    std::string name_;
    VkInstance instance_ = VK_NULL_HANDLE;
    VkPhysicalDevice physical_ = VK_NULL_HANDLE;
    VkDevice device_ = VK_NULL_HANDLE;
    VkQueue queue_ = VK_NULL_HANDLE;
    uint32_t family_ = 0;
    uint32_t version_ = VK_API_VERSION_1_2;
    // As enabled; the engine reads them.
    VkPhysicalDeviceFeatures2 features_{};
    VkPhysicalDeviceVulkan11Features features11_{};
    VkPhysicalDeviceVulkan12Features features12_{};
    const char* extensions_[1] = {nullptr};
    std::mutex queue_mutex_;  // the engine's threads submit too
    VkCommandPool pool_ = VK_NULL_HANDLE;
    VkCommandBuffer commands_[kSlots] = {};
    VkSemaphore timeline_ = VK_NULL_HANDLE;
    Pass fill_, shade_;
};
