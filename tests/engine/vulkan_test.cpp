// A device's plans through the public headers: same answers as the processor's, same bits every time, states that fork, roll back and
// move, budgets, and a loader that makes calls fail.
#define VK_NO_PROTOTYPES
#include <dlfcn.h>
#include <vulkan/vulkan.h>

#include <cmath>
#include <cstring>
#include <fstream>

#include "orrery/ext/vulkan.h"
#include "support.hpp"

namespace engine_tests {
namespace {

constexpr int32_t kVocabulary = 41;  // the smallest of them
const char* const kModels[] = {"llama", "gemma3", "mamba", "qwen3_moe", "mistral_window"};

// Whether there is a device at all.
bool has_device() {
    const Json capabilities = about(shared_engine(), "capabilities");
    for (const Json& d : capabilities["devices"])
        if (d["id"] == "vulkan:0" && !d.contains("problem")) return true;
    return false;
}

class Vulkan : public testing::Test {
  protected:
    void SetUp() override {
        if (kThreadSanitizer) GTEST_SKIP() << "drivers are not instrumented";
        if (!has_device()) GTEST_SKIP() << "no Vulkan device";
    }
};

Model open_on(const std::string& name, const char* device, orr_engine* engine = nullptr) {
    orr_model_options options{};
    options.header = ORR_HEADER(orr_model_options);
    const std::string path = golden_folder(name);
    options.path = path.c_str();
    options.device = device;
    orr_model* model = nullptr;
    check(orr_model_open(engine ? engine : shared_engine(), &options, &model));
    return Model(model);
}

// max |difference| / std of the wanted values.
double distance(const Tensor& got, const Tensor& want) {
    const auto a = got.floats(), b = want.floats();
    EXPECT_EQ(a.size(), b.size());
    double mean = 0, variance = 0, most = 0;
    for (const float x : b) mean += x / static_cast<double>(b.size());
    for (size_t i = 0; i < b.size(); i++) {
        variance += (b[i] - mean) * (b[i] - mean) / static_cast<double>(b.size());
        most = std::max(most, std::fabs(static_cast<double>(a[i]) - b[i]));
        if (!std::isfinite(a[i])) return INFINITY;
    }
    return most / std::sqrt(variance);
}

class VulkanModels : public Vulkan, public testing::WithParamInterface<const char*> {};

TEST_P(VulkanModels, AnswersAsTheProcessorDoes) {
    const Model there = open_on(GetParam(), "vulkan"), here = open_on(GetParam(), "cpu");
    const Session a = make_session(there), b = make_session(here);
    const auto ids = some_ids(40, kVocabulary);
    EXPECT_LT(distance(feed(a, part(ids, 0, 23)), feed(b, part(ids, 0, 23))), 1e-4);
    for (size_t i = 23; i < 40; i++) EXPECT_LT(distance(feed(a, {ids[i]}), feed(b, {ids[i]})), 1e-4) << i;
}

TEST_P(VulkanModels, GivesTheSameBitsEveryTime) {
    const Model model = open_on(GetParam(), "vulkan");
    const auto ids = some_ids(30, kVocabulary);
    const Tensor first = feed(make_session(model), ids);
    const Session again = make_session(model);
    for (int i = 0; i < 10; i++) {
        EXPECT_SAME_BITS(feed(again, ids), first);
        check(orr_session_reset(again.get()));
    }
}

TEST_P(VulkanModels, ForksAndRollsBack) {
    const Model model = open_on(GetParam(), "vulkan");
    const auto ids = some_ids(80, kVocabulary);
    const Session s = make_session(model);
    feed(s, part(ids, 0, 70));
    check(orr_session_mark(s.get()));
    const Session other = fork(s);
    const Tensor left = feed(s, {1, 2, 3}), right = feed(other, {4, 5, 6});
    EXPECT_FALSE(left.bytes == right.bytes);
    check(orr_session_rollback(s.get(), 70));
    EXPECT_SAME_BITS(feed(s, {4, 5, 6}), right);
    check(orr_session_rollback(other.get(), 70));
    EXPECT_SAME_BITS(feed(other, {1, 2, 3}), left);
}

TEST_P(VulkanModels, SavesAndLoads) {
    const std::string path = scratch(std::string("vulkan_") + GetParam());
    const auto ids = some_ids(50, kVocabulary);
    Tensor want;
    {
        const Session s = make_session(open_on(GetParam(), "vulkan"));
        feed(s, ids);
        check(orr_session_save(s.get(), path.c_str()));
        want = feed(s, {7, 8});
    }
    const Session s = make_session(open_on(GetParam(), "vulkan"));
    check(orr_session_load(s.get(), path.c_str()));
    EXPECT_SAME_BITS(feed(s, {7, 8}), want);
    // The processor goes on from it too.
    const Session here = make_session(open_on(GetParam(), "cpu"));
    check(orr_session_load(here.get(), path.c_str()));
    EXPECT_LT(distance(feed(here, {7, 8}), want), 1e-4);
}

INSTANTIATE_TEST_SUITE_P(Cases, VulkanModels, testing::ValuesIn(kModels));

TEST_F(Vulkan, BatchesGiveTheBitsOfEachAlone) {
    const Model model = open_on("llama", "vulkan");
    const auto ids = some_ids(20, kVocabulary);
    const Session a = make_session(model), b = make_session(model), alone_a = make_session(model), alone_b = make_session(model);
    feed(a, part(ids, 0, 9)), feed(alone_a, part(ids, 0, 9));
    feed(b, part(ids, 3, 17)), feed(alone_b, part(ids, 3, 17));
    const Tensor both{ORR_TYPE_I32, {2, 1}, ids_tensor({5, 6}).bytes};
    const orr_named_tensor in = named("input_ids", both);
    const orr_named_tensor* const ins[] = {&in};
    orr_session* const sessions[] = {a.get(), b.get()};
    check(orr_session_run_batch(2, sessions, "next", 1, ins, 0, nullptr));
    orr_named_tensor out{};
    out.header = ORR_HEADER(orr_named_tensor);
    check(orr_session_output(a.get(), orr_session_output_name(a.get(), 0), &out));
    const std::string got(static_cast<const char*>(out.data), out.size_bytes);
    const Tensor one = feed(alone_a, {5}), two = feed(alone_b, {6});
    EXPECT_TRUE(got == std::string(one.bytes.begin(), one.bytes.end()) + std::string(two.bytes.begin(), two.bytes.end()));
}

TEST_F(Vulkan, TwoSessionsAtOnce) {
    const Model model = open_on("llama", "vulkan");
    const auto ids = some_ids(30, kVocabulary);
    const Tensor want = feed(make_session(model), ids);
    std::vector<std::thread> threads;
    std::atomic<int> good{0};
    for (int t = 0; t < 3; t++)
        threads.emplace_back([&] {
            const Session s = make_session(model);
            for (int i = 0; i < 5; i++) {
                good += feed(s, ids).bytes == want.bytes;
                check(orr_session_reset(s.get()));
            }
        });
    for (auto& t : threads) t.join();
    EXPECT_EQ(good, 15);
}

TEST_F(Vulkan, WhatDoesNotFitStaysWithTheProcessor) {
    const auto ids = some_ids(30, kVocabulary);
    const Tensor want = feed(make_session(open_on("llama", "cpu")), ids);
    // From nothing to plenty.
    for (const uint64_t budget : {uint64_t{1} << 20, uint64_t{66} << 20, uint64_t{67} << 20, uint64_t{256} << 20}) {
        const Engine engine = make_engine([&](orr_engine_options& o) { o.device_memory_budget_bytes = budget; });
        const Model model = open_on("llama", "vulkan", engine.get());
        const Session s = make_session(model, [](orr_session_options& o) { o.context = 64; });
        EXPECT_LT(distance(feed(s, ids), want), 1e-4) << budget;
        const Json plan = Json::parse(describe(s, "plan", "next"));
        if (budget < uint64_t{2} << 20)
            EXPECT_EQ(plan["device_flops_share"], 0.0);
        EXPECT_GE(plan["device_flops_share"], 0.0);
    }
}

TEST_F(Vulkan, NamesOfDevices) {
    expect_failure([&] { open_on("llama", "vulkan:77"); }, ORR_NOT_FOUND, {"vulkan:77"});
    expect_failure([&] { open_on("llama", "vulkan:x"); }, ORR_INVALID_ARGUMENT, {"vulkan:x"});
    expect_failure([&] { open_on("llama", "tpu"); }, ORR_INVALID_ARGUMENT, {"tpu", "vulkan:N"});
}

TEST_F(Vulkan, ADamagedPipelineCacheIsWrittenAnew) {
    const std::string folder = scratch("pipelines");
    const auto engine = [&] { return make_engine([&](orr_engine_options& o) { o.cache_dir = folder.c_str(); }); };
    const auto ids = some_ids(9, kVocabulary);
    const auto run = [&] {
        const Engine e = engine();
        return feed(make_session(open_on("llama", "vulkan", e.get())), ids);
    };
    const Tensor want = run();
    ASSERT_FALSE(std::filesystem::is_empty(folder));
    const auto file = std::filesystem::directory_iterator(folder)->path();
    const std::string whole = read_file(file.string());
    for (const std::string& damaged : {std::string(), whole.substr(0, 20), whole.substr(0, whole.size() / 2), std::string(whole.size(), 'x'), whole.substr(0, whole.size() - 1) + "?"}) {
        std::ofstream(file, std::ios::binary) << damaged;
        EXPECT_SAME_BITS(run(), want);
        EXPECT_GE(std::filesystem::file_size(file), whole.size() / 2);
    }
}

// ---------------------------------------------------------------- a loader that makes calls fail

struct Fault {
    std::string function;  // "vkQueueSubmit"
    VkResult result;
    std::atomic<int> after{0};  // calls that still work
    std::atomic<bool> on{false};
} fault;

PFN_vkGetInstanceProcAddr real_loader() {
    static const auto loader = reinterpret_cast<PFN_vkGetInstanceProcAddr>(dlsym(dlopen("libvulkan.so.1", RTLD_NOW), "vkGetInstanceProcAddr"));
    return loader;
}
bool strikes(const char* function) { return fault.on && fault.function == function && fault.after-- <= 0; }

PFN_vkQueueSubmit real_submit;
PFN_vkWaitSemaphores real_wait;
PFN_vkAllocateMemory real_allocate;
PFN_vkCreateComputePipelines real_pipelines;
PFN_vkGetDeviceProcAddr real_device_address;

VKAPI_ATTR VkResult VKAPI_CALL submit(VkQueue q, uint32_t n, const VkSubmitInfo* s, VkFence f) { return strikes("vkQueueSubmit") ? fault.result : real_submit(q, n, s, f); }
VKAPI_ATTR VkResult VKAPI_CALL wait(VkDevice d, const VkSemaphoreWaitInfo* i, uint64_t t) {
    const VkResult r = real_wait(d, i, t);
    return strikes("vkWaitSemaphores") ? fault.result : r;
}
VKAPI_ATTR VkResult VKAPI_CALL allocate(VkDevice d, const VkMemoryAllocateInfo* i, const VkAllocationCallbacks* a, VkDeviceMemory* m) {
    return strikes("vkAllocateMemory") ? fault.result : real_allocate(d, i, a, m);
}
VKAPI_ATTR VkResult VKAPI_CALL pipelines(VkDevice d, VkPipelineCache c, uint32_t n, const VkComputePipelineCreateInfo* i, const VkAllocationCallbacks* a, VkPipeline* p) {
    return strikes("vkCreateComputePipelines") ? fault.result : real_pipelines(d, c, n, i, a, p);
}

VKAPI_ATTR PFN_vkVoidFunction VKAPI_CALL device_address(VkDevice d, const char* name) {
    const PFN_vkVoidFunction real = real_device_address(d, name);
    const auto replace = [&](auto& kept, auto mine, const char* mine_name) -> PFN_vkVoidFunction {
        if (std::strcmp(name, mine_name) != 0) return nullptr;
        kept = reinterpret_cast<std::remove_reference_t<decltype(kept)>>(real);
        return reinterpret_cast<PFN_vkVoidFunction>(mine);
    };
    for (const PFN_vkVoidFunction f : {replace(real_submit, &submit, "vkQueueSubmit"), replace(real_wait, &wait, "vkWaitSemaphores"), replace(real_allocate, &allocate, "vkAllocateMemory"),
                                       replace(real_pipelines, &pipelines, "vkCreateComputePipelines")})
        if (f) return f;
    return real;
}
VKAPI_ATTR PFN_vkVoidFunction VKAPI_CALL instance_address(VkInstance i, const char* name) {
    const PFN_vkVoidFunction real = real_loader()(i, name);
    if (std::strcmp(name, "vkGetDeviceProcAddr") != 0) return real;
    real_device_address = reinterpret_cast<PFN_vkGetDeviceProcAddr>(real);
    return reinterpret_cast<PFN_vkVoidFunction>(&device_address);
}

class VulkanFaults : public Vulkan {
  protected:
    void TearDown() override { fault.on = false; }
    static void plan(const char* function, VkResult result, int after) {
        fault.function = function;
        fault.result = result;
        fault.after = after;
        fault.on = true;
    }
    const orr_vulkan_host host = {ORR_HEADER(orr_vulkan_host), reinterpret_cast<void*>(&instance_address), nullptr, nullptr, nullptr, nullptr, 0, 0, nullptr, nullptr, nullptr, nullptr, nullptr};
    const Engine engine = make_engine([&](orr_engine_options& o) {
        o.vulkan = &host;
        o.cache_dir = "";
    });
    const std::vector<int32_t> ids = some_ids(20, kVocabulary);
};

TEST_F(VulkanFaults, ALostDeviceIsToldAndMadeAnew) {
    const Model model = open_on("llama", "vulkan", engine.get());
    const Tensor want = feed(make_session(model), ids);
    for (const char* function : {"vkQueueSubmit", "vkWaitSemaphores"})
        for (const int after : {0, 1, 3}) {
            const Session s = make_session(model);
            feed(s, {1});
            plan(function, VK_ERROR_DEVICE_LOST, after);
            // A run that does nothing on the device notices nothing.
            for (int i = 0; i < 8 && fault.after >= 0; i++) {
                try {
                    feed(s, {2});
                } catch (const Failure& f) {
                    EXPECT_EQ(f.status, ORR_DEVICE_LOST) << std::string(f.what());
                }
            }
            fault.on = false;
            EXPECT_SAME_BITS(feed(make_session(model), ids), want);
        }
}

TEST_F(VulkanFaults, EveryAllocationMayFail) {
    const Tensor want = feed(make_session(open_on("llama", "vulkan", engine.get())), ids);
    for (int after = 0; after < 40; after++) {
        plan("vkAllocateMemory", VK_ERROR_OUT_OF_DEVICE_MEMORY, after);
        bool struck = false;
        try {
            const Model model = open_on("llama", "vulkan", engine.get());
            const Session s = make_session(model);
            EXPECT_LT(distance(feed(s, ids), want), 1e-4);  // with fewer steps on the device, perhaps
        } catch (const Failure& f) {
            EXPECT_EQ(f.status, ORR_OUT_OF_MEMORY) << std::string(f.what());
        }
        struck = fault.after < 0;
        fault.on = false;
        if (!struck) break;
    }
    EXPECT_SAME_BITS(feed(make_session(open_on("llama", "vulkan", engine.get())), ids), want);
}

TEST_F(VulkanFaults, APipelineThatCannotBeMade) {
    const Model model = open_on("llama", "vulkan", engine.get());
    plan("vkCreateComputePipelines", VK_ERROR_OUT_OF_HOST_MEMORY, 0);
    try {
        feed(make_session(model), ids);
        ADD_FAILURE() << "succeeds";
    } catch (const Failure& f) {
        EXPECT_EQ(f.status, ORR_OUT_OF_MEMORY) << std::string(f.what());
        EXPECT_NE(std::string(f.what()).find("shader"), std::string::npos) << f.what();
    }
    fault.on = false;
    feed(make_session(model), ids);
}

}  // namespace
}  // namespace engine_tests
