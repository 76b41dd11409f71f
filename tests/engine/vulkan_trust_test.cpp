// Devices that are not what they say: shaders that compute wrong values, drivers that stop work without a word, lose the device, run out of memory
// or lack features; and what is kept of self-tests. All through a loader that alters what the real one answers.
#define VK_NO_PROTOTYPES
#include <dlfcn.h>
#include <unistd.h>
#include <vulkan/vulkan.h>

#include <cmath>
#include <cstring>
#include <fstream>

#include "orrery/ext/vulkan.h"
#include "support.hpp"

namespace engine_tests {
namespace {

constexpr int32_t kVocabulary = 41;
// How many specialisation constants only these pipelines have: shaders/common/product_gemv.glsl, shaders/attention/attention/keys.glsl,
// shaders/attention/rope_attention/append.comp.
constexpr size_t kGemv = 18, kAttention = 17, kTurnedAttention = 23, kAppend = 9;

// ---------------------------------------------------------------- the loader

// What it does to calls; nothing at first.
struct Injection {
    // The n-th call of a function (0: the first) fails, and those after it.
    std::string fails;
    VkResult result = VK_ERROR_OUT_OF_DEVICE_MEMORY;
    std::atomic<int> after{0};
    bool once = false;  // only that one
    // Pipelines with so many specialisation constants (0: any; and, unless 0, such subgroups) get another value for one of them, or are never run.
    size_t constants = SIZE_MAX;
    uint32_t subgroup = 0, constant = 0, value = 0;
    bool dropped = false;
    bool poison = false;  // dispatches of those pipelines lose the device
    // Submissions from the n-th on do nothing and end well.
    std::atomic<int> silent_after{INT32_MAX};
    // Changes what a device says of itself.
    std::function<void(VkPhysicalDeviceProperties&)> properties;
    std::function<void(const VkBaseOutStructure*)> chain;    // each structure of vkGetPhysicalDeviceProperties2 and Features2
    std::function<void(VkPhysicalDeviceFeatures&)> features;
};
std::shared_ptr<Injection> injection = std::make_shared<Injection>();
std::mutex marked_mutex;
std::set<VkPipeline> marked_pipelines;
std::set<VkCommandBuffer> poisoned;
thread_local bool marked_now = false;

bool strikes(const char* function) {
    if (injection->fails != function) return false;
    const int left = injection->after--;
    return injection->once ? left == 0 : left <= 0;
}

PFN_vkGetDeviceProcAddr real_device_address;
// The real functions, by the name of the replacement.
#define REAL(name) PFN_vk##name real_##name
REAL(QueueSubmit);
REAL(WaitSemaphores);
REAL(AllocateMemory);
REAL(CreateBuffer);
REAL(MapMemory);
REAL(CreateCommandPool);
REAL(AllocateCommandBuffers);
REAL(CreateShaderModule);
REAL(CreateSemaphore);
REAL(CreateComputePipelines);
REAL(CmdBindPipeline);
REAL(CmdDispatch);
REAL(BeginCommandBuffer);
REAL(DestroyPipeline);
REAL(GetPhysicalDeviceProperties);
REAL(GetPhysicalDeviceProperties2);
REAL(GetPhysicalDeviceFeatures2);
#undef REAL

VKAPI_ATTR VkResult VKAPI_CALL QueueSubmit(VkQueue q, uint32_t n, const VkSubmitInfo* s, VkFence f) {
    if (strikes("vkQueueSubmit")) return injection->result;
    {
        const std::lock_guard lock(marked_mutex);
        for (uint32_t c = 0; c < s->commandBufferCount; c++)
            if (poisoned.count(s->pCommandBuffers[c])) return VK_ERROR_DEVICE_LOST;
    }
    if (injection->silent_after-- > 0) return real_QueueSubmit(q, n, s, f);
    std::vector<VkSubmitInfo> empty(s, s + n);
    for (auto& e : empty) e.commandBufferCount = 0;
    return real_QueueSubmit(q, n, empty.data(), f);
}
VKAPI_ATTR VkResult VKAPI_CALL WaitSemaphores(VkDevice d, const VkSemaphoreWaitInfo* i, uint64_t t) {
    const VkResult r = real_WaitSemaphores(d, i, t);
    return strikes("vkWaitSemaphores") ? injection->result : r;
}
VKAPI_ATTR VkResult VKAPI_CALL AllocateMemory(VkDevice d, const VkMemoryAllocateInfo* i, const VkAllocationCallbacks* a, VkDeviceMemory* m) {
    return strikes("vkAllocateMemory") ? injection->result : real_AllocateMemory(d, i, a, m);
}
VKAPI_ATTR VkResult VKAPI_CALL CreateBuffer(VkDevice d, const VkBufferCreateInfo* i, const VkAllocationCallbacks* a, VkBuffer* b) {
    return strikes("vkCreateBuffer") ? injection->result : real_CreateBuffer(d, i, a, b);
}
VKAPI_ATTR VkResult VKAPI_CALL MapMemory(VkDevice d, VkDeviceMemory m, VkDeviceSize o, VkDeviceSize s, VkMemoryMapFlags f, void** p) {
    return strikes("vkMapMemory") ? injection->result : real_MapMemory(d, m, o, s, f, p);
}
VKAPI_ATTR VkResult VKAPI_CALL CreateCommandPool(VkDevice d, const VkCommandPoolCreateInfo* i, const VkAllocationCallbacks* a, VkCommandPool* p) {
    return strikes("vkCreateCommandPool") ? injection->result : real_CreateCommandPool(d, i, a, p);
}
VKAPI_ATTR VkResult VKAPI_CALL AllocateCommandBuffers(VkDevice d, const VkCommandBufferAllocateInfo* i, VkCommandBuffer* c) {
    return strikes("vkAllocateCommandBuffers") ? injection->result : real_AllocateCommandBuffers(d, i, c);
}
VKAPI_ATTR VkResult VKAPI_CALL CreateShaderModule(VkDevice d, const VkShaderModuleCreateInfo* i, const VkAllocationCallbacks* a, VkShaderModule* m) {
    return strikes("vkCreateShaderModule") ? injection->result : real_CreateShaderModule(d, i, a, m);
}
VKAPI_ATTR VkResult VKAPI_CALL CreateSemaphore(VkDevice d, const VkSemaphoreCreateInfo* i, const VkAllocationCallbacks* a, VkSemaphore* s) {
    return strikes("vkCreateSemaphore") ? injection->result : real_CreateSemaphore(d, i, a, s);
}
VKAPI_ATTR VkResult VKAPI_CALL CreateComputePipelines(VkDevice d, VkPipelineCache c, uint32_t n, const VkComputePipelineCreateInfo* i, const VkAllocationCallbacks* a, VkPipeline* p) {
    if (strikes("vkCreateComputePipelines")) return injection->result;
    const VkSpecializationInfo* given = i->stage.pSpecializationInfo;
    const auto* size = static_cast<const VkPipelineShaderStageRequiredSubgroupSizeCreateInfo*>(i->stage.pNext);
    const bool hit = n == 1 && given && (injection->constants == 0 || given->mapEntryCount == injection->constants) && (injection->subgroup == 0 || (size && size->requiredSubgroupSize == injection->subgroup));
    if (!hit) return real_CreateComputePipelines(d, c, n, i, a, p);
    std::vector<uint32_t> values(given->mapEntryCount);
    std::memcpy(values.data(), given->pData, given->dataSize);
    if (!injection->dropped && !injection->poison) values.at(injection->constant) = injection->value;
    VkSpecializationInfo altered = *given;
    altered.pData = values.data();
    VkComputePipelineCreateInfo info = *i;
    info.stage.pSpecializationInfo = &altered;
    const VkResult r = real_CreateComputePipelines(d, c, n, &info, a, p);
    const std::lock_guard lock(marked_mutex);
    if (injection->dropped || injection->poison) marked_pipelines.insert(*p);
    return r;
}
VKAPI_ATTR void VKAPI_CALL CmdBindPipeline(VkCommandBuffer c, VkPipelineBindPoint b, VkPipeline p) {
    const std::lock_guard lock(marked_mutex);
    marked_now = marked_pipelines.count(p) != 0;
    real_CmdBindPipeline(c, b, p);
}
VKAPI_ATTR void VKAPI_CALL CmdDispatch(VkCommandBuffer c, uint32_t x, uint32_t y, uint32_t z) {
    const std::lock_guard lock(marked_mutex);
    if (marked_now && injection->poison) poisoned.insert(c);
    if (!marked_now || !injection->dropped) real_CmdDispatch(c, x, y, z);
}
VKAPI_ATTR VkResult VKAPI_CALL BeginCommandBuffer(VkCommandBuffer c, const VkCommandBufferBeginInfo* i) {
    const std::lock_guard lock(marked_mutex);
    poisoned.erase(c);
    return real_BeginCommandBuffer(c, i);
}
VKAPI_ATTR void VKAPI_CALL DestroyPipeline(VkDevice d, VkPipeline p, const VkAllocationCallbacks* a) {
    const std::lock_guard lock(marked_mutex);
    marked_pipelines.erase(p);
    real_DestroyPipeline(d, p, a);
}
void alter_chain(const void* first) {
    if (!injection->chain) return;
    for (auto* s = static_cast<const VkBaseOutStructure*>(first); s; s = s->pNext) injection->chain(s);
}
VKAPI_ATTR void VKAPI_CALL GetPhysicalDeviceProperties(VkPhysicalDevice d, VkPhysicalDeviceProperties* p) {
    real_GetPhysicalDeviceProperties(d, p);
    if (injection->properties) injection->properties(*p);
}
VKAPI_ATTR void VKAPI_CALL GetPhysicalDeviceProperties2(VkPhysicalDevice d, VkPhysicalDeviceProperties2* p) {
    real_GetPhysicalDeviceProperties2(d, p);
    if (injection->properties) injection->properties(p->properties);
    alter_chain(p->pNext);
}
VKAPI_ATTR void VKAPI_CALL GetPhysicalDeviceFeatures2(VkPhysicalDevice d, VkPhysicalDeviceFeatures2* f) {
    real_GetPhysicalDeviceFeatures2(d, f);
    if (injection->features) injection->features(f->features);
    alter_chain(f->pNext);
}

template <class Function>
bool replaces(const char* asked, const char* name, PFN_vkVoidFunction& found, Function& real, Function mine) {
    if (std::strcmp(asked, name) != 0) return false;
    real = reinterpret_cast<Function>(found);
    found = reinterpret_cast<PFN_vkVoidFunction>(mine);
    return true;
}
#define REPLACES(name) replaces(asked, "vk" #name, found, real_##name, &name)
VKAPI_ATTR PFN_vkVoidFunction VKAPI_CALL device_address(VkDevice d, const char* asked) {
    PFN_vkVoidFunction found = real_device_address(d, asked);
    (void)(REPLACES(QueueSubmit) || REPLACES(WaitSemaphores) || REPLACES(AllocateMemory) || REPLACES(CreateBuffer) || REPLACES(MapMemory) || REPLACES(CreateCommandPool) ||
           REPLACES(AllocateCommandBuffers) || REPLACES(CreateShaderModule) || REPLACES(CreateSemaphore) || REPLACES(CreateComputePipelines) || REPLACES(CmdBindPipeline) || REPLACES(CmdDispatch) ||
           REPLACES(BeginCommandBuffer) || REPLACES(DestroyPipeline));
    return found;
}
VKAPI_ATTR PFN_vkVoidFunction VKAPI_CALL instance_address(VkInstance i, const char* asked) {
    static const auto loader = reinterpret_cast<PFN_vkGetInstanceProcAddr>(dlsym(dlopen("libvulkan.so.1", RTLD_NOW), "vkGetInstanceProcAddr"));
    PFN_vkVoidFunction found = loader(i, asked);
    if (!replaces(asked, "vkGetDeviceProcAddr", found, real_device_address, &device_address))
        (void)(REPLACES(GetPhysicalDeviceProperties) || REPLACES(GetPhysicalDeviceProperties2) || REPLACES(GetPhysicalDeviceFeatures2));
    return found;
}
#undef REPLACES

// ---------------------------------------------------------------- what tests share

const orr_vulkan_host kHost = {ORR_HEADER(orr_vulkan_host), reinterpret_cast<void*>(&instance_address), nullptr, nullptr, nullptr, nullptr, 0, 0, nullptr, nullptr, nullptr, nullptr, nullptr};

struct Log {
    std::mutex mutex;
    std::vector<std::string> lines;
    static void write(void* user, int32_t, const char* text) {
        auto& log = *static_cast<Log*>(user);
        const std::lock_guard lock(log.mutex);
        log.lines.emplace_back(text);
    }
    size_t with(const std::string& part, const std::string& other = "") {
        const std::lock_guard lock(mutex);
        return static_cast<size_t>(std::count_if(lines.begin(), lines.end(), [&](const std::string& l) { return l.find(part) != std::string::npos && l.find(other) != std::string::npos; }));
    }
};

class VulkanTrust : public testing::Test {
  protected:
    void SetUp() override {
        if (kThreadSanitizer) GTEST_SKIP() << "drivers are not instrumented";
        const Json capabilities = about(shared_engine(), "capabilities");
        for (const Json& d : capabilities["devices"])
            if (d["id"] == "vulkan:0" && !d.contains("problem")) return;
        GTEST_SKIP() << "no Vulkan device";
    }
    void TearDown() override { calm(); }
    static void calm() {
        injection = std::make_shared<Injection>();
        const std::lock_guard lock(marked_mutex);
        marked_pipelines.clear();
        poisoned.clear();
    }
    // cache: folder of the cache, "": none. without: shaders to leave out, by name.
    static Engine engine(const std::string& cache = "", Log* log = nullptr, bool no_self_test = false, const std::vector<std::string>& without = {}) {
        std::vector<const char*> patterns;
        for (const std::string& pattern : without) patterns.push_back(pattern.c_str());
        patterns.push_back(nullptr);
        return make_engine([&](orr_engine_options& o) {
            if (!without.empty()) o.without_shaders = patterns.data();
            o.vulkan = &kHost;
            o.cache_dir = cache.c_str();
            o.no_self_test = no_self_test;
            if (log) o.log = Log::write, o.log_user = log, o.log_level = ORR_LOG_INFO;
        });
    }
    static Model open(orr_engine* engine, const std::string& name = "llama", const char* device = "vulkan") { return open_golden(name, engine, device); }
    static Json device_of(orr_engine* engine) {
        const Json capabilities = about(engine, "capabilities");
        for (const Json& d : capabilities["devices"])
            if (d["id"] == "vulkan:0") return d;
        return {};
    }
    static uint64_t tests_made(orr_engine* engine) { return device_of(engine)["self_test"]["made_now"].get<uint64_t>(); }
    static std::vector<std::string> out_of_use(orr_engine* engine) {
        std::vector<std::string> names;
        const Json found = device_of(engine)["self_test"]["out_of_use"];
        for (const Json& s : found) names.push_back(s["shader"].get<std::string>());
        return names;
    }
    // What the processor answers to a prompt and a token after it.
    static std::pair<Tensor, Tensor> answers(const Model& model) {
        const Session s = make_session(model);
        Tensor first = feed(s, kIds);
        return {std::move(first), feed(s, {5})};
    }
    static void expect_right(const Model& model, const std::string& name = "llama") {
        static std::map<std::string, std::pair<Tensor, Tensor>> want;
        auto& w = want[name];
        if (w.first.bytes.empty()) w = answers(open(shared_engine(), name, "cpu"));
        const auto [first, second] = answers(model);
        EXPECT_LT(distance(first, w.first), 1e-4);
        EXPECT_LT(distance(second, w.second), 1e-4);
    }
    static double distance(const Tensor& got, const Tensor& want) {
        const auto a = got.floats(), b = want.floats();
        if (a.size() != b.size()) return INFINITY;
        double square = 0, most = 0;
        for (size_t i = 0; i < b.size(); i++) {
            square += static_cast<double>(b[i]) * b[i] / static_cast<double>(b.size());
            if (!std::isfinite(a[i])) return INFINITY;
            most = std::max(most, std::fabs(static_cast<double>(a[i]) - b[i]));
        }
        return most / std::sqrt(square);
    }
    static const std::vector<int32_t> kIds;
};
const std::vector<int32_t> VulkanTrust::kIds = some_ids(40, kVocabulary);

// The variant of the plan's attention, "" where it runs on the processor.
std::string attention_variant(const Session& s) {
    const Json steps = description(s, "plan", "steps", "next");
    for (const Json& step : steps)
        if (step["op"] == "orr.attention/1" || step["op"] == "orr.rope_attention/1") return step["device"] == "vulkan:0" ? step.value("variant", "") : "";
    return "none";
}

// ---------------------------------------------------------------- wrong values

TEST_F(VulkanTrust, SelfTestsPassOnAGoodDevice) {
    Log log;
    const Engine e = engine("", &log);
    expect_right(open(e.get()));
    EXPECT_GT(tests_made(e.get()), 3u);
    EXPECT_EQ(log.with("self-test of", "passed"), tests_made(e.get()));
    EXPECT_EQ(log.with("failed"), 0u);
    EXPECT_EQ(log.with("no self-test"), 0u);
    EXPECT_TRUE(out_of_use(e.get()).empty());
    EXPECT_LT(device_of(e.get())["self_test"]["milliseconds"].get<int>(), kSanitizer ? 60000 : 8000);
}

// The gemv of all products computes another activation.
TEST_F(VulkanTrust, AWrongProductIsNotUsed) {
    injection->constants = kGemv, injection->constant = 2, injection->value = 1;
    Log log;
    const Engine e = engine("", &log);
    expect_right(open(e.get()));
    const auto names = out_of_use(e.get());
    EXPECT_TRUE(std::count(names.begin(), names.end(), "linear_gemv")) << names.size();
    EXPECT_TRUE(std::count(names.begin(), names.end(), "linear_group_gemv"));
    EXPECT_GE(log.with("self-test of orr.linear/1", "failed"), 1u);
    EXPECT_GE(log.with("the definition gives"), 1u);
}

// So does the same fault without tests: the test above would not notice one that does nothing.
TEST_F(VulkanTrust, WithoutTestsAWrongProductIsUsed) {
    injection->constants = kGemv, injection->constant = 2, injection->value = 1;
    const Engine e = engine("", nullptr, true);
    const auto want = answers(open(shared_engine(), "llama", "cpu"));
    EXPECT_GT(distance(answers(open(e.get())).second, want.second), 1e-2);
    EXPECT_EQ(device_of(e.get())["self_test"], Json({{"enabled", false}}));
}

class WrongForms : public VulkanTrust {
  protected:
    // Pipelines of subgroups of 8 with so many constants compute with another scale: `next` is taken, `wrong` is out of use, `right` is not.
    void expect_next(size_t constants, const char* next, const char* wrong, const char* right) {
        const auto variant = [&](const Model& model) {
            const Session s = make_session(model);
            feed(s, {1}), feed(s, {2});
            return attention_variant(s);
        };
        const Engine good = engine();
        const std::string first = variant(open(good.get(), "qwen3_moe"));
        if (first != "turned_split_8") GTEST_SKIP() << "this device takes " << first;
        injection->constants = constants, injection->subgroup = 8, injection->constant = 6, injection->value = 0x41000000;  // 8
        const Engine e = engine();
        const Model model = open(e.get(), "qwen3_moe");
        expect_right(model, "qwen3_moe");
        EXPECT_EQ(variant(model), next);
        const auto names = out_of_use(e.get());
        EXPECT_TRUE(std::count(names.begin(), names.end(), wrong));
        EXPECT_FALSE(std::count(names.begin(), names.end(), right));
    }
};

TEST_F(WrongForms, OfRotationsAndAttentionInOneGiveWay) { expect_next(kTurnedAttention, "split_8", "rope_attention_split_8", "attention_split_8"); }

TEST_F(WrongForms, OfAttentionWithSubgroupsGiveWay) { expect_next(0, "split", "attention_split_8", "attention_split"); }

// All forms do: the processor computes it.
TEST_F(VulkanTrust, AttentionThatIsAlwaysWrongIsTheProcessors) {
    injection->constants = kAttention, injection->constant = 6, injection->value = 0x41000000;
    const Engine e = engine();
    const Model model = open(e.get());
    expect_right(model);
    const Session s = make_session(model);
    feed(s, {1}), feed(s, {2});
    EXPECT_EQ(attention_variant(s), "");
}

// Keys go to their pages turned by another scale: the states show it, and no form of attention is blamed.
TEST_F(VulkanTrust, AWrongAppendIsNotUsed) {
    injection->constants = kAppend, injection->constant = 7, injection->value = 0x41000000;  // 8
    Log log;
    const Engine e = engine("", &log);
    expect_right(open(e.get()));
    const auto names = out_of_use(e.get());
    EXPECT_TRUE(std::count(names.begin(), names.end(), "rope_attention_append")) << names.size();
    EXPECT_GE(log.with("self-test of orr.rope_attention/1", "the state of input 3"), 1u);
    for (const std::string& name : names) EXPECT_NE(name.rfind("attention_", 0), 0u) << name;
}

// Dispatches that do nothing.
TEST_F(VulkanTrust, ADispatchThatDoesNothingIsFound) {
    injection->constants = kGemv, injection->dropped = true;
    const Engine e = engine();
    expect_right(open(e.get()));
    const auto names = out_of_use(e.get());
    EXPECT_TRUE(std::count(names.begin(), names.end(), "linear_gemv"));
}

// A driver that cannot build a shader.
TEST_F(VulkanTrust, AShaderThatCannotBeBuiltIsNotUsed) {
    injection->fails = "vkCreateComputePipelines", injection->result = VK_ERROR_INITIALIZATION_FAILED, injection->once = true;
    Log log;
    const Engine e = engine("", &log);
    expect_right(open(e.get()));
    EXPECT_EQ(log.with("vkCreateComputePipelines"), 1u);
    EXPECT_FALSE(out_of_use(e.get()).empty());
}

TEST_F(VulkanTrust, OnlyWhatAModelNeedsIsTested) {
    Log log;
    const Engine e = engine("", &log);
    const Session s = make_session(open(e.get(), "mamba"));
    feed(s, kIds);
    EXPECT_GE(log.with("self-test of orr.linear", "passed"), 1u);
    EXPECT_EQ(log.with("attention/1"), 0u);
    EXPECT_EQ(log.with("orr.moe_ffn"), 0u);
    const Session moe = make_session(open(e.get(), "qwen3_moe"));
    feed(moe, kIds);
    EXPECT_GE(log.with("self-test of orr.rope_attention/1", "passed"), 1u);
    EXPECT_GE(log.with("self-test of orr.moe_ffn", "passed"), 1u);
}

// What a host shows while they are made; a host that has enough of them ends the run.
TEST_F(VulkanTrust, ProgressTellsOfSelfTests) {
    struct Told {
        std::map<std::string, int> times;
        bool stop = false;
        static bool progress(void* user, double fraction, const char* what) {
            auto& told = *static_cast<Told*>(user);
            const bool testing = std::strstr(what, "testing");
            told.times[testing ? "testing" : what]++;
            EXPECT_TRUE(fraction >= 0 && fraction <= 1) << fraction;
            return !(told.stop && testing);
        }
    };
    const Engine e = engine();
    const Model model = open(e.get());
    const auto session = [&](Told& told) { return make_session(model, [&](orr_session_options& o) { o.progress = Told::progress, o.progress_user = &told; }); };
    Told stopped;
    stopped.stop = true;
    expect_failure([&] { feed(session(stopped), kIds); }, ORR_CANCELLED, {"cancelled"});
    EXPECT_EQ(stopped.times["testing"], 1);
    EXPECT_EQ(tests_made(e.get()), 0u);
    Told told;
    feed(session(told), kIds);
    EXPECT_EQ(told.times["testing"], static_cast<int>(tests_made(e.get())));
    EXPECT_GT(told.times["planning"], 0);
    Told later;
    feed(session(later), kIds);
    EXPECT_EQ(later.times["testing"], 0);
}

// ---------------------------------------------------------------- what is kept

TEST_F(VulkanTrust, ResultsAreKept) {
    const std::string folder = scratch("trust_kept");
    uint64_t made = 0;
    {
        const Engine e = engine(folder);
        expect_right(open(e.get()));
        made = tests_made(e.get());
    }
    ASSERT_GT(made, 0u);
    const Engine e = engine(folder);
    expect_right(open(e.get()));
    EXPECT_EQ(tests_made(e.get()), 0u);
    const Json kept = device_of(e.get())["self_test"];
    EXPECT_FALSE(kept["tested"].get<std::string>().empty());
    EXPECT_GE(kept["pipelines"].get<uint64_t>(), made);
    // A failure is kept as well.
    const std::string other = scratch("trust_kept_wrong");
    injection->constants = kGemv, injection->constant = 2, injection->value = 1;
    std::vector<std::string> names;
    {
        const Engine bad = engine(other);
        expect_right(open(bad.get()));
        names = out_of_use(bad.get());
    }
    calm();
    const Engine again = engine(other);
    expect_right(open(again.get()));
    EXPECT_EQ(out_of_use(again.get()), names);
}

std::string tests_file(const std::string& folder) {
    for (const auto& f : std::filesystem::directory_iterator(folder))
        if (f.path().extension() == ".tests") return f.path().string();
    return "";
}

TEST_F(VulkanTrust, ADamagedFileIsWrittenAnew) {
    const std::string folder = scratch("trust_damaged");
    uint64_t made = 0;
    {
        const Engine e = engine(folder);
        expect_right(open(e.get()));
        made = tests_made(e.get());
    }
    const std::string file = tests_file(folder), whole = read_file(file);
    const auto changed = [&](const std::string& from, const std::string& to) {
        std::string text = whole;
        text.replace(text.find(from), from.size(), to);
        return text;
    };
    for (const std::string& damaged : {std::string(), whole.substr(0, 10), whole.substr(0, whole.size() / 2), whole.substr(0, whole.size() - 1), std::string(whole.size(), 'x'), whole + "x", changed("self-test 1", "self-test 2"),
                                       changed("right", "wrong")}) {
        std::ofstream(file, std::ios::binary) << damaged;
        const Engine e = engine(folder);
        const Session s = make_session(open(e.get()));
        feed(s, kIds), feed(s, {5});
        EXPECT_TRUE(out_of_use(e.get()).empty());
        EXPECT_EQ(tests_made(e.get()), made) << damaged.substr(0, 40);
        EXPECT_EQ(read_file(file).substr(0, 19), whole.substr(0, 19));
    }
}

TEST_F(VulkanTrust, AFolderThatCannotBeWrittenIsIgnored) {
    const std::string file = scratch("trust_no_folder");
    std::ofstream(file) << "a file";
    const Engine e = engine(file + "/below");
    expect_right(open(e.get()));
    EXPECT_GT(tests_made(e.get()), 0u);
}

// What killed processes left half written goes after an hour; what another process is writing stays, and so does what is not the engine's.
TEST_F(VulkanTrust, AbandonedFilesAreRemoved) {
    namespace fs = std::filesystem;
    const std::string folder = scratch("trust_abandoned");
    fs::create_directories(folder + "/vulkan-folder.partial");
    const auto old = fs::file_time_type::clock::now() - std::chrono::hours(2);
    const auto put = [&](const std::string& name, bool aged) {
        std::ofstream(folder + "/" + name) << "half";
        if (aged) fs::last_write_time(folder + "/" + name, old);
    };
    for (int i = 0; i < 40; i++) put("vulkan-10005-0000.bin." + std::to_string(i) + ".partial", true), put("vulkan-10005-0000.tests." + std::to_string(i) + "-0.partial", true);
    const std::vector<std::string> kept = {"vulkan-10005-0000.bin.1-3.partial", "vulkan-1.bin", "their.partial", "vulkan-.partial.bin"};
    for (const std::string& name : kept) put(name, name != kept[0]);
    fs::create_symlink("their.partial", folder + "/vulkan-link.partial");
    fs::last_write_time(folder + "/vulkan-folder.partial", old);
    std::vector<std::thread> threads;  // as processes that start together
    std::vector<Engine> engines(3);
    for (Engine& e : engines) threads.emplace_back([&] { feed(make_session(open((e = engine(folder)).get())), kIds); });
    for (auto& t : threads) t.join();
    std::vector<std::string> partial;
    for (const auto& f : fs::directory_iterator(folder))
        if (f.path().extension() == ".partial") partial.push_back(f.path().filename().string());
    std::sort(partial.begin(), partial.end());
    EXPECT_EQ(partial, (std::vector<std::string>{"their.partial", kept[0], "vulkan-folder.partial", "vulkan-link.partial"}));
    for (const std::string& name : kept) EXPECT_TRUE(fs::exists(folder + "/" + name)) << name;
    const Engine after = engine(folder);
    feed(make_session(open(after.get())), kIds);
    EXPECT_EQ(tests_made(after.get()), 0u);
}

// Ends in the middle of the tests, after the second.
const RegisterChild killed_child("killed in self-tests", [](const std::vector<std::string>& arguments) {
    const auto count = [](void* user, int32_t, const char* text) {
        if (std::strstr(text, "self-test of") && ++*static_cast<int*>(user) == 2) _exit(7);
    };
    int tests = 0;
    const Engine e = make_engine([&](orr_engine_options& o) {
        o.cache_dir = arguments[0].c_str();
        o.log = count, o.log_user = &tests, o.log_level = ORR_LOG_INFO;
    });
    orr_model_options options{};
    options.header = ORR_HEADER(orr_model_options);
    const std::string path = golden_folder("llama");
    options.path = path.c_str();
    options.device = "vulkan";
    orr_model* model = nullptr;
    check(orr_model_open(e.get(), &options, &model));
    feed(make_session(Model(model)), some_ids(40, kVocabulary));
    return 0;
});

TEST_F(VulkanTrust, AProcessThatEndsHalfWayLosesTheRestOnly) {
    const std::string folder = scratch("trust_killed"), whole = scratch("trust_whole");
    uint64_t all = 0;
    {
        const Engine e = engine(whole);
        expect_right(open(e.get()));
        all = tests_made(e.get());
    }
    ASSERT_EQ(run_child("killed in self-tests", {folder}), 7);
    const Engine e = engine(folder);
    expect_right(open(e.get()));
    EXPECT_EQ(tests_made(e.get()), all - 2);
}

TEST_F(VulkanTrust, SessionsAtOnceMakeEachTestOnce) {
    uint64_t alone = 0;
    {
        const Engine e = engine();
        feed(make_session(open(e.get())), kIds);
        alone = tests_made(e.get());
    }
    const Engine e = engine();
    const Model model = open(e.get());
    std::vector<Tensor> results(4);
    std::vector<std::thread> threads;
    for (Tensor& r : results) threads.emplace_back([&] { r = feed(make_session(model), kIds); });
    for (auto& t : threads) t.join();
    for (const Tensor& r : results) EXPECT_SAME_BITS(r, results[0]);
    EXPECT_EQ(tests_made(e.get()), alone);
}

// ---------------------------------------------------------------- what the host leaves out

class WithoutShaders : public VulkanTrust {
  protected:
    static Engine engine_without(const std::vector<std::string>& patterns, const std::string& cache = "") { return engine(cache, nullptr, false, patterns); }
    // The plan of a token after another.
    static std::string plan(const Model& model) {
        const Session s = make_session(model);
        feed(s, {1}), feed(s, {2});
        return describe(s, "plan", "next");
    }
    static std::string variant(const Model& model) {
        const Session s = make_session(model);
        feed(s, {1}), feed(s, {2});
        return attention_variant(s);
    }
};

TEST_F(WithoutShaders, AnotherFormIsTaken) {
    const std::string first = variant(open(engine().get(), "qwen3_moe"));
    if (first != "turned_split_8") GTEST_SKIP() << "this device takes " << first;
    Engine e = engine_without({"rope_attention_split*"});
    const Model one = open(e.get(), "qwen3_moe");
    EXPECT_EQ(variant(one), "split_8");
    expect_right(one, "qwen3_moe");
    e = engine_without({"rope_attention_split*", "attention*_8"});
    const Model two = open(e.get(), "qwen3_moe");
    EXPECT_EQ(variant(two), "split");
    expect_right(two, "qwen3_moe");
    EXPECT_TRUE(out_of_use(e.get()).empty());
    const Json quirks = device_of(e.get())["quirks"];
    for (const char* pattern : {"rope_attention_split*", "attention*_8"})
        EXPECT_EQ(std::count_if(quirks.begin(), quirks.end(), [&](const Json& q) { return q.value("shaders", "") == pattern && q["source"] == "orr_engine_options.without_shaders"; }), 1) << quirks.dump();
}

// Where there is no other, the processor does it, and the plan says why.
TEST_F(WithoutShaders, TheProcessorTakesWhatNoFormIsLeftFor) {
    const std::string why = "left out by the host (linear_ge*)";
    EXPECT_EQ(plan(open(engine().get())).find("left out"), std::string::npos);
    const Engine e = engine_without({"linear_ge*"});
    const Model model = open(e.get());
    EXPECT_NE(plan(model).find(why), std::string::npos);
    expect_right(model);
    const Engine none = engine_without({"*"});
    const Model plain = open(none.get());
    const Session s = make_session(plain);
    feed(s, {1}), feed(s, {2});
    const Json steps = description(s, "plan", "steps", "next");
    EXPECT_FALSE(steps.empty());
    for (const Json& step : steps) EXPECT_NE(step["kernel"], "vulkan") << step.dump();
    expect_right(plain);
    EXPECT_EQ(tests_made(none.get()), 0u);
}

TEST_F(WithoutShaders, PatternsThatFitNoneChangeNothing) {
    const std::string usual = plan(open(engine().get()));
    const Engine e = engine_without({"", "linear_", "gemv", "no_such_*"});
    const Model model = open(e.get());
    EXPECT_EQ(plan(model), usual);
    expect_right(model);
}

// What is kept of self-tests says nothing of it.
TEST_F(WithoutShaders, NothingOfItIsKept) {
    const std::string folder = scratch("trust_without");
    {
        const Engine e = engine(folder);
        expect_right(open(e.get()));
    }
    const std::string file = tests_file(folder), kept = read_file(file);
    for (const char* pattern : {"*", "no_such_*"}) {
        const Engine e = engine_without({pattern}, folder);
        expect_right(open(e.get()));
        EXPECT_EQ(read_file(file), kept) << pattern;
    }
    {
        const Engine e = engine_without({"*attention*_8", "linear_ge*"}, folder);  // other forms are tested for it
        expect_right(open(e.get()));
    }
    const Engine e = engine(folder);
    expect_right(open(e.get()));
    EXPECT_EQ(tests_made(e.get()), 0u);
    EXPECT_TRUE(out_of_use(e.get()).empty());
    EXPECT_TRUE(device_of(e.get())["quirks"].empty());
    EXPECT_EQ(read_file(file).find("left out"), std::string::npos);
}

// ---------------------------------------------------------------- drivers

TEST_F(VulkanTrust, QuirksOfADriverAreToldAndKept) {
    injection->properties = [](VkPhysicalDeviceProperties& p) { p.vendorID = 0x8086; };
    const Engine e = engine();
    const Model model = open(e.get());
    const Json device = device_of(e.get());
    ASSERT_GE(device["quirks"].size(), 1u) << device.dump();
    const Json quirks = device["quirks"];
    bool found = false;
    for (const Json& q : quirks) {
        EXPECT_FALSE(q["reason"].get<std::string>().empty());
        EXPECT_NE(q["source"].get<std::string>().find("llama.cpp"), std::string::npos);
        found = found || q.value("shaders", "") == "*_subgroup";
    }
    EXPECT_TRUE(found);
    expect_right(model);
    // None of them is used.
    const Session s = make_session(model);
    feed(s, {1}), feed(s, {2});
    EXPECT_EQ(describe(s, "plan", "next").find("_subgroup"), std::string::npos);
    calm();
    const Engine plain = engine();
    const Model kept = open(plain.get());
    EXPECT_TRUE(device_of(plain.get())["quirks"].empty());
}

TEST_F(VulkanTrust, WorkThatADriverStopsWithoutAWordIsALostDevice) {
    for (const int after : {0, 1, 2, 5, 9}) {
        const Engine e = engine();
        injection->silent_after = after;
        try {
            const Session s = make_session(open(e.get()));
            feed(s, kIds), feed(s, {5}), feed(s, {6}), feed(s, {7});
            ADD_FAILURE() << "nothing is noticed after " << after;
        } catch (const Failure& f) {
            EXPECT_EQ(f.status, ORR_DEVICE_LOST) << std::string(f.what());
            EXPECT_NE(std::string(f.what()).find("without a word"), std::string::npos) << f.what();
        }
        calm();
        expect_right(open(e.get()));
    }
}

TEST_F(VulkanTrust, ADeviceLostInASelfTest) {
    for (const char* function : {"vkQueueSubmit", "vkWaitSemaphores"})
        for (const int after : {0, 1, 2, 4}) {
            const Engine e = engine();
            const Model model = open(e.get());
            injection->fails = function, injection->result = VK_ERROR_DEVICE_LOST, injection->after = after;
            try {
                make_session(model), feed(make_session(model), kIds);
                ADD_FAILURE() << function << " " << after << " succeeds";
            } catch (const Failure& f) {
                EXPECT_EQ(f.status, ORR_DEVICE_LOST) << std::string(f.what());
                EXPECT_NE(std::string(f.what()).find("VK_ERROR_DEVICE_LOST"), std::string::npos) << f.what();
            }
            calm();
            expect_right(model);
            EXPECT_TRUE(out_of_use(e.get()).empty());
        }
}

// A shader that loses the device whenever it runs is out of use the second time.
TEST_F(VulkanTrust, AShaderThatLosesTheDevice) {
    injection->constants = kGemv, injection->poison = true;
    const Engine e = engine();
    const Model model = open(e.get());
    int lost = 0;
    for (; lost < 8; lost++) try {
            expect_right(model);
            break;
        } catch (const Failure& f) {
            EXPECT_EQ(f.status, ORR_DEVICE_LOST) << std::string(f.what());
            EXPECT_NE(std::string(f.what()).find("self-test of orr.linear"), std::string::npos) << f.what();
        }
    EXPECT_EQ(lost, 4);  // two shaders
    const auto names = out_of_use(e.get());
    EXPECT_TRUE(std::count(names.begin(), names.end(), "linear_gemv"));
    EXPECT_TRUE(std::count(names.begin(), names.end(), "linear_group_gemv"));
}

// Each call that takes memory fails at each place, for good or once: an error that tells, or fewer steps on the device; never a wrong answer.
TEST_F(VulkanTrust, MemoryRunsOutAnywhere) {
    for (const char* function : {"vkAllocateMemory", "vkCreateBuffer", "vkMapMemory", "vkCreateCommandPool", "vkAllocateCommandBuffers", "vkCreateShaderModule", "vkCreateComputePipelines", "vkCreateSemaphore"})
        for (int after = 0, round = 0; after < 200; after += 1 + after / 2, round++) {
            injection->fails = function, injection->after = after, injection->once = round % 2 == 1;
            const Engine e = engine();
            try {
                expect_right(open(e.get()));
            } catch (const Failure& f) {
                EXPECT_EQ(f.status, ORR_OUT_OF_MEMORY) << function << " " << after << ": " << f.what();
                EXPECT_NE(std::string(f.what()).find(function), std::string::npos) << f.what();
            }
            const bool struck = injection->after < 0;
            calm();
            if (!struck) break;
            expect_right(open(e.get()));
        }
}

// ---------------------------------------------------------------- features that are not there

template <class T>
std::function<void(const VkBaseOutStructure*)> without(VkStructureType type, VkBool32 T::*member) {
    return [=](const VkBaseOutStructure* s) {
        if (s->sType == type) reinterpret_cast<T*>(const_cast<VkBaseOutStructure*>(s))->*member = VK_FALSE;
    };
}

TEST_F(VulkanTrust, WithoutAFeatureThatIsNeeded) {
    const auto v12 = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_VULKAN_1_2_FEATURES;
    const auto refused = [](const std::string& part) {
        const Engine e = engine();
        expect_failure([&] { open(e.get()); }, ORR_UNSUPPORTED, {"vulkan:0", part});
        EXPECT_NE(device_of(e.get())["problem"].get<std::string>().find(part), std::string::npos);
        calm();
    };
    injection->chain = without(v12, &VkPhysicalDeviceVulkan12Features::bufferDeviceAddress);
    refused("bufferDeviceAddress");
    injection->chain = without(v12, &VkPhysicalDeviceVulkan12Features::timelineSemaphore);
    refused("timelineSemaphore");
    injection->properties = [](VkPhysicalDeviceProperties& p) { p.apiVersion = VK_MAKE_API_VERSION(0, 1, 1, 0); };
    refused("1.1");
}

TEST_F(VulkanTrust, WithoutAFeatureThatOnlyHelps) {
    using V11 = VkPhysicalDeviceVulkan11Features;
    using V12 = VkPhysicalDeviceVulkan12Features;
    const auto v11 = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_VULKAN_1_1_FEATURES;
    const auto v12 = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_VULKAN_1_2_FEATURES;
    const std::pair<const char*, std::function<void(const VkBaseOutStructure*)>> cases[] = {
        {"16-bit storage", without(v11, &V11::storageBuffer16BitAccess)},
        {"8-bit storage", without(v12, &V12::storageBuffer8BitAccess)},
        {"f16 arithmetic", without(v12, &V12::shaderFloat16)},
        {"8-bit integer arithmetic", without(v12, &V12::shaderInt8)},
        {"the Vulkan memory model with device scope", without(v12, &V12::vulkanMemoryModel)},
        {"subgroup size control", without(VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_SUBGROUP_SIZE_CONTROL_FEATURES, &VkPhysicalDeviceSubgroupSizeControlFeatures::subgroupSizeControl)},
        {"integer dot products", without(VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_SHADER_INTEGER_DOT_PRODUCT_FEATURES, &VkPhysicalDeviceShaderIntegerDotProductFeatures::shaderIntegerDotProduct)},
        {"subgroup operations",
         [](const VkBaseOutStructure* s) {
             if (s->sType == VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_SUBGROUP_PROPERTIES)
                 reinterpret_cast<VkPhysicalDeviceSubgroupProperties*>(const_cast<VkBaseOutStructure*>(s))->supportedOperations = VK_SUBGROUP_FEATURE_BASIC_BIT;
         }},
    };
    const auto lacks = [](orr_engine* e) { return device_of(e)["lacks"].get<std::vector<std::string>>(); };
    for (const auto& [name, change] : cases) {
        injection->chain = change;
        const Engine e = engine();
        const auto missing = lacks(e.get());
        EXPECT_TRUE(std::count(missing.begin(), missing.end(), name)) << name;
        expect_right(open(e.get()));
    }
    injection->chain = [&](const VkBaseOutStructure* s) {
        for (const auto& c : cases) c.second(s);
    };
    injection->features = [](VkPhysicalDeviceFeatures& f) { f.shaderInt16 = VK_FALSE; };
    const Engine e = engine();
    const auto missing = lacks(e.get());
    const auto is_missing = [&](const char* name) { return std::count(missing.begin(), missing.end(), name) == 1; };
    for (const auto& c : cases) EXPECT_TRUE(is_missing(c.first)) << c.first;
    EXPECT_TRUE(is_missing("16-bit integer arithmetic"));
    expect_right(open(e.get()));
}

}  // namespace
}  // namespace engine_tests
