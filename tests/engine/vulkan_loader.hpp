// A Vulkan loader for tests, over the system's: makes calls fail, counts what was made and not destroyed, and passes a device off as a card
// whose memory the processor does not see.
#pragma once
#define VK_NO_PROTOTYPES
#include <dlfcn.h>
#include <vulkan/vulkan.h>

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstring>
#include <deque>
#include <map>
#include <mutex>
#include <set>
#include <string>
#include <thread>
#include <vector>

namespace engine_tests::vulkan_loader {

struct Fault {
    std::string function;  // "vkQueueSubmit"
    VkResult result = VK_SUCCESS;
    std::atomic<int> after{0};  // calls that still work; below 0 once it has struck
    std::atomic<bool> on{false};
    void plan(const char* name, VkResult r, int calls) {
        function = name;
        result = r;
        after = calls;
        on = true;
    }
};
inline Fault fault;
inline std::string absent;            // a function that the device or the instance is said to lack
inline std::set<std::string> asked;   // functions that were looked up
inline std::atomic<bool> like_a_card{false};
inline std::atomic<int> late_ms{8};  // of LateQueue

// What lives of each kind.
struct Live {
    std::mutex mutex;
    std::map<std::string, int> counts;
    void add(const char* kind, int n) {
        const std::lock_guard lock(mutex);
        counts[kind] += n;
    }
    std::string text() {
        const std::lock_guard lock(mutex);
        std::string out;
        for (const auto& [kind, n] : counts)
            if (n) out += kind + " " + std::to_string(n) + " ";
        return out;
    }
};
inline Live live;

inline PFN_vkGetInstanceProcAddr real_loader() {
    // Kept open: some drivers leave memory behind when the last user closes the loader.
    static const auto loader = reinterpret_cast<PFN_vkGetInstanceProcAddr>(dlsym(dlopen("libvulkan.so.1", RTLD_NOW), "vkGetInstanceProcAddr"));
    return loader;
}
inline bool strikes(const char* function) { return fault.on && fault.function == function && fault.after-- <= 0; }

// Each kind that is made and destroyed with the device first: NAME, the function that makes it, its info and handle.
#define ORR_TEST_KINDS(X)                                                                                                                   \
    X(Semaphore, Create, Destroy, VkSemaphoreCreateInfo)                                                                                    \
    X(PipelineLayout, Create, Destroy, VkPipelineLayoutCreateInfo)                                                                          \
    X(PipelineCache, Create, Destroy, VkPipelineCacheCreateInfo)                                                                            \
    X(CommandPool, Create, Destroy, VkCommandPoolCreateInfo)                                                                                \
    X(Buffer, Create, Destroy, VkBufferCreateInfo)                                                                                          \
    X(ShaderModule, Create, Destroy, VkShaderModuleCreateInfo)

#define X(NAME, MAKE, END, INFO)                                                                                                            \
    inline PFN_vk##MAKE##NAME make_##NAME;                                                                                                  \
    inline PFN_vk##END##NAME end_##NAME;                                                                                                    \
    inline VKAPI_ATTR VkResult VKAPI_CALL my_make_##NAME(VkDevice d, const INFO* i, const VkAllocationCallbacks* a, Vk##NAME* h) {          \
        if (strikes("vk" #MAKE #NAME)) return fault.result;                                                                                 \
        const VkResult r = make_##NAME(d, i, a, h);                                                                                         \
        if (r == VK_SUCCESS) live.add(#NAME, 1);                                                                                            \
        return r;                                                                                                                           \
    }                                                                                                                                       \
    inline VKAPI_ATTR void VKAPI_CALL my_end_##NAME(VkDevice d, Vk##NAME h, const VkAllocationCallbacks* a) {                               \
        if (h) live.add(#NAME, -1);                                                                                                         \
        end_##NAME(d, h, a);                                                                                                                \
    }
ORR_TEST_KINDS(X)
#undef X

inline PFN_vkCreateInstance real_create_instance;
inline PFN_vkDestroyInstance real_destroy_instance;
inline PFN_vkEnumeratePhysicalDevices real_enumerate;
inline PFN_vkGetPhysicalDeviceMemoryProperties real_memory;
inline PFN_vkGetBufferMemoryRequirements real_requirements;
inline PFN_vkCreateDevice real_create_device;
inline PFN_vkDestroyDevice real_destroy_device;
inline PFN_vkQueueSubmit real_submit;
inline PFN_vkWaitSemaphores real_wait;
inline PFN_vkAllocateMemory real_allocate;
inline PFN_vkFreeMemory real_free;
inline PFN_vkAllocateCommandBuffers real_command_buffers;
inline PFN_vkCreateComputePipelines real_pipelines;
inline PFN_vkGetDeviceProcAddr real_device_address;

inline VKAPI_ATTR VkResult VKAPI_CALL create_instance(const VkInstanceCreateInfo* i, const VkAllocationCallbacks* a, VkInstance* h) {
    if (strikes("vkCreateInstance")) return fault.result;
    const VkResult r = real_create_instance(i, a, h);
    if (r == VK_SUCCESS) live.add("Instance", 1);
    return r;
}
inline VKAPI_ATTR void VKAPI_CALL destroy_instance(VkInstance h, const VkAllocationCallbacks* a) {
    live.add("Instance", -1);
    real_destroy_instance(h, a);
}
inline VKAPI_ATTR VkResult VKAPI_CALL enumerate(VkInstance i, uint32_t* n, VkPhysicalDevice* list) { return strikes("vkEnumeratePhysicalDevices") ? fault.result : real_enumerate(i, n, list); }
inline VKAPI_ATTR VkResult VKAPI_CALL create_device(VkPhysicalDevice p, const VkDeviceCreateInfo* i, const VkAllocationCallbacks* a, VkDevice* d) {
    if (strikes("vkCreateDevice")) return fault.result;
    const VkResult r = real_create_device(p, i, a, d);
    if (r == VK_SUCCESS) live.add("Device", 1);
    return r;
}
inline VKAPI_ATTR void VKAPI_CALL destroy_device(VkDevice d, const VkAllocationCallbacks* a) {
    live.add("Device", -1);
    real_destroy_device(d, a);
}

// Submissions as a slow card takes them: the call returns at once, the work is done some time later, in order. (The software driver is done with
// most submissions when the call returns, which hides what nobody waits for.)
class LateQueue {
  public:
    ~LateQueue() {
        {
            const std::lock_guard lock(mutex_);
            stop_ = true;
        }
        wake_.notify_all();
        if (worker_.joinable()) worker_.join();
    }
    VkResult submit(VkQueue queue, const VkSubmitInfo& info) {
        const std::lock_guard lock(mutex_);
        if (!worker_.joinable()) worker_ = std::thread([this] { work(); });
        waiting_.emplace_back(queue, info);
        wake_.notify_all();
        return VK_SUCCESS;
    }

  private:
    struct Late {
        Late(VkQueue q, const VkSubmitInfo& info) : queue(q), submit(info) {
            const auto& times = *static_cast<const VkTimelineSemaphoreSubmitInfo*>(info.pNext);
            commands.assign(info.pCommandBuffers, info.pCommandBuffers + info.commandBufferCount);
            waits.assign(info.pWaitSemaphores, info.pWaitSemaphores + info.waitSemaphoreCount);
            stages.assign(info.pWaitDstStageMask, info.pWaitDstStageMask + info.waitSemaphoreCount);
            signals.assign(info.pSignalSemaphores, info.pSignalSemaphores + info.signalSemaphoreCount);
            wait_values.assign(times.pWaitSemaphoreValues, times.pWaitSemaphoreValues + times.waitSemaphoreValueCount);
            signal_values.assign(times.pSignalSemaphoreValues, times.pSignalSemaphoreValues + times.signalSemaphoreValueCount);
        }
        void run() {
            VkTimelineSemaphoreSubmitInfo times{};
            times.sType = VK_STRUCTURE_TYPE_TIMELINE_SEMAPHORE_SUBMIT_INFO;
            times.waitSemaphoreValueCount = static_cast<uint32_t>(wait_values.size());
            times.pWaitSemaphoreValues = wait_values.data();
            times.signalSemaphoreValueCount = static_cast<uint32_t>(signal_values.size());
            times.pSignalSemaphoreValues = signal_values.data();
            submit.pNext = &times;
            submit.pCommandBuffers = commands.data();
            submit.pWaitSemaphores = waits.data();
            submit.pWaitDstStageMask = stages.data();
            submit.pSignalSemaphores = signals.data();
            real_submit(queue, 1, &submit, VK_NULL_HANDLE);
        }
        VkQueue queue;
        VkSubmitInfo submit;
        std::vector<VkCommandBuffer> commands;
        std::vector<VkSemaphore> waits, signals;
        std::vector<VkPipelineStageFlags> stages;
        std::vector<uint64_t> wait_values, signal_values;
    };
    void work() {
        std::unique_lock lock(mutex_);
        for (;;) {
            wake_.wait(lock, [this] { return stop_ || !waiting_.empty(); });
            if (waiting_.empty()) return;
            Late next = std::move(waiting_.front());
            waiting_.pop_front();
            lock.unlock();
            std::this_thread::sleep_for(std::chrono::milliseconds(late_ms));
            next.run();
            lock.lock();
        }
    }
    std::mutex mutex_;
    std::condition_variable wake_;
    std::deque<Late> waiting_;
    bool stop_ = false;
    std::thread worker_;
};
inline std::atomic<LateQueue*> late{nullptr};

inline VKAPI_ATTR VkResult VKAPI_CALL submit(VkQueue q, uint32_t n, const VkSubmitInfo* s, VkFence f) {
    if (strikes("vkQueueSubmit")) return fault.result;
    LateQueue* const later = late;
    return later ? later->submit(q, *s) : real_submit(q, n, s, f);
}
inline VKAPI_ATTR VkResult VKAPI_CALL wait(VkDevice d, const VkSemaphoreWaitInfo* i, uint64_t t) {
    const VkResult r = real_wait(d, i, t);
    return strikes("vkWaitSemaphores") ? fault.result : r;
}
inline VKAPI_ATTR VkResult VKAPI_CALL command_buffers(VkDevice d, const VkCommandBufferAllocateInfo* i, VkCommandBuffer* c) {
    return strikes("vkAllocateCommandBuffers") ? fault.result : real_command_buffers(d, i, c);
}
inline VKAPI_ATTR VkResult VKAPI_CALL pipelines(VkDevice d, VkPipelineCache c, uint32_t n, const VkComputePipelineCreateInfo* i, const VkAllocationCallbacks* a, VkPipeline* p) {
    return strikes("vkCreateComputePipelines") ? fault.result : real_pipelines(d, c, n, i, a, p);
}

// As a card: one kind of memory, which the processor sees, stands twice, once as the card's own, unseen by the processor, once as the processor's.
inline std::atomic<uint32_t> card_memory{0};  // the driver's number of it
inline VKAPI_ATTR void VKAPI_CALL memory_properties(VkPhysicalDevice p, VkPhysicalDeviceMemoryProperties* m) {
    real_memory(p, m);
    if (!like_a_card) return;
    constexpr VkMemoryPropertyFlags kSeen = VK_MEMORY_PROPERTY_HOST_VISIBLE_BIT | VK_MEMORY_PROPERTY_HOST_COHERENT_BIT;
    uint32_t seen = 0;
    while (seen + 1 < m->memoryTypeCount && (m->memoryTypes[seen].propertyFlags & kSeen) != kSeen) seen++;
    card_memory = seen;
    m->memoryTypes[0] = m->memoryTypes[1] = VkMemoryType(m->memoryTypes[seen]);
    m->memoryTypeCount = 2;
    m->memoryTypes[0].propertyFlags = VK_MEMORY_PROPERTY_DEVICE_LOCAL_BIT;
    m->memoryTypes[1].propertyFlags = VK_MEMORY_PROPERTY_HOST_VISIBLE_BIT | VK_MEMORY_PROPERTY_HOST_COHERENT_BIT | VK_MEMORY_PROPERTY_HOST_CACHED_BIT;
}
inline VKAPI_ATTR void VKAPI_CALL requirements(VkDevice d, VkBuffer b, VkMemoryRequirements* r) {
    real_requirements(d, b, r);
    if (like_a_card) r->memoryTypeBits = 3;
}
inline VKAPI_ATTR VkResult VKAPI_CALL allocate(VkDevice d, const VkMemoryAllocateInfo* i, const VkAllocationCallbacks* a, VkDeviceMemory* m) {
    if (strikes("vkAllocateMemory")) return fault.result;
    VkMemoryAllocateInfo info = *i;
    if (like_a_card) info.memoryTypeIndex = card_memory;
    const VkResult r = real_allocate(d, &info, a, m);
    if (r == VK_SUCCESS) live.add("DeviceMemory", 1);
    return r;
}
inline VKAPI_ATTR void VKAPI_CALL free_memory(VkDevice d, VkDeviceMemory m, const VkAllocationCallbacks* a) {
    if (m) live.add("DeviceMemory", -1);
    real_free(d, m, a);
}

struct Replacement {
    const char* name;
    PFN_vkVoidFunction* kept;
    PFN_vkVoidFunction mine;
};
#define ORR_TEST_REPLACE(real, mine, name) Replacement{name, reinterpret_cast<PFN_vkVoidFunction*>(&real), reinterpret_cast<PFN_vkVoidFunction>(&mine)}

template <size_t N>
PFN_vkVoidFunction replaced(const Replacement (&list)[N], const char* name, PFN_vkVoidFunction real) {
    asked.insert(name);
    if (absent == name) return nullptr;
    for (const Replacement& r : list)
        if (real && std::strcmp(name, r.name) == 0) {
            *r.kept = real;
            return r.mine;
        }
    return real;
}

inline VKAPI_ATTR PFN_vkVoidFunction VKAPI_CALL device_address(VkDevice d, const char* name) {
#define X(NAME, MAKE, END, INFO) ORR_TEST_REPLACE(make_##NAME, my_make_##NAME, "vk" #MAKE #NAME), ORR_TEST_REPLACE(end_##NAME, my_end_##NAME, "vk" #END #NAME),
    static const Replacement list[] = {ORR_TEST_KINDS(X) ORR_TEST_REPLACE(real_submit, submit, "vkQueueSubmit"),
                                       ORR_TEST_REPLACE(real_wait, wait, "vkWaitSemaphores"),
                                       ORR_TEST_REPLACE(real_allocate, allocate, "vkAllocateMemory"),
                                       ORR_TEST_REPLACE(real_free, free_memory, "vkFreeMemory"),
                                       ORR_TEST_REPLACE(real_requirements, requirements, "vkGetBufferMemoryRequirements"),
                                       ORR_TEST_REPLACE(real_command_buffers, command_buffers, "vkAllocateCommandBuffers"),
                                       ORR_TEST_REPLACE(real_pipelines, pipelines, "vkCreateComputePipelines"),
                                       ORR_TEST_REPLACE(real_destroy_device, destroy_device, "vkDestroyDevice")};
#undef X
    return replaced(list, name, real_device_address(d, name));
}
inline VKAPI_ATTR PFN_vkVoidFunction VKAPI_CALL instance_address(VkInstance i, const char* name) {
    static const Replacement list[] = {ORR_TEST_REPLACE(real_create_instance, create_instance, "vkCreateInstance"),
                                       ORR_TEST_REPLACE(real_destroy_instance, destroy_instance, "vkDestroyInstance"),
                                       ORR_TEST_REPLACE(real_enumerate, enumerate, "vkEnumeratePhysicalDevices"),
                                       ORR_TEST_REPLACE(real_memory, memory_properties, "vkGetPhysicalDeviceMemoryProperties"),
                                       ORR_TEST_REPLACE(real_create_device, create_device, "vkCreateDevice"),
                                       ORR_TEST_REPLACE(real_device_address, device_address, "vkGetDeviceProcAddr")};
    return replaced(list, name, real_loader()(i, name));
}
#undef ORR_TEST_REPLACE

}  // namespace engine_tests::vulkan_loader
