// A device's plans through the public headers: same answers as the processor's, same bits every time, states that fork, roll back and
// move, budgets, submissions of bounded length, and a loader that makes calls fail.
#include <sys/stat.h>

#include <chrono>
#include <cmath>
#include <fstream>

#include "orrery/ext/vulkan.h"
#include "support.hpp"
#include "vulkan_loader.hpp"

namespace engine_tests {
namespace {

using vulkan_loader::fault;

constexpr int32_t kVocabulary = 41;  // the smallest of them
const char* const kModels[] = {"llama", "gemma3", "mamba", "qwen3_moe", "mistral_window"};

class Vulkan : public testing::Test {
  protected:
    void SetUp() override {
        if (kThreadSanitizer) GTEST_SKIP() << "drivers are not instrumented";
        if (!has_vulkan()) GTEST_SKIP() << "no Vulkan device";
    }
};

Model open_on(const std::string& name, const char* device, orr_engine* engine = nullptr) { return open_golden(name, engine, device); }

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

std::string model_text(const Model& model, const char* what) {
    orr_text* text = nullptr;
    check(orr_model_describe(model.get(), what, nullptr, &text));
    const std::string out(orr_text_data(text), orr_text_size(text));
    orr_text_release(text);
    return out;
}

double milliseconds_since(std::chrono::steady_clock::time_point start) { return std::chrono::duration<double, std::milli>(std::chrono::steady_clock::now() - start).count(); }

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

TEST_P(VulkanModels, IdsThatAreNoRowsAreRefusedBeforeTheRun) {
    const Model model = open_on(GetParam(), "vulkan");
    const Session session = make_session(model), whole = make_session(model);
    feed(session, {1, 2, 3}), feed(whole, {1, 2, 3});
    for (const int32_t wrong : {-1, 1'000'000, INT32_MAX}) {
        expect_failure([&] { feed(session, {4, wrong, 5}); }, ORR_INVALID_ARGUMENT, {"orr.embedding/1", std::to_string(wrong) + " at index 1", "input_ids"});
        EXPECT_EQ(orr_session_position(session.get()), 3);
    }
    EXPECT_SAME_BITS(feed(session, {4, 5}), feed(whole, {4, 5}));
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

// A layer's rotations, appends and attention are one step, whatever the model has between them; but for a layer of which somebody reads a value within.
class VulkanLayers : public Vulkan, public testing::WithParamInterface<const char*> {
  protected:
    static size_t steps_of(const Session& s, const std::string& op) {
        size_t count = 0;
        for (const Json& step : description(s, "plan", "steps", "next")) count += step["op"] == op && step["device"] == "vulkan:0";
        return count;
    }
    static void tap(const Session& s, const std::vector<const char*>& paths) {
        std::vector<orr_tap> taps;
        for (const char* path : paths) taps.push_back({ORR_HEADER(orr_tap), path, "read", 1, 0, nullptr, 0, 0, 0, 0});
        std::vector<const orr_tap*> pointers;
        for (const orr_tap& t : taps) pointers.push_back(&t);
        check(orr_session_set_taps(s.get(), static_cast<uint32_t>(pointers.size()), pointers.data()));
    }
};

TEST_P(VulkanLayers, AttendInOneStep) {
    const Model model = open_on(GetParam(), "vulkan");
    const auto layers = Json::parse(read_file(golden_folder(GetParam()) + "/config.json")).at("num_hidden_layers").get<size_t>();
    const auto ids = some_ids(12, kVocabulary);
    const Session plain = make_session(model);
    const Tensor want = feed(plain, ids);
    EXPECT_EQ(steps_of(plain, "orr.rope_attention/1"), layers);
    for (const char* op : {"orr.rope/1", "orr.cache_append/1", "orr.attention/1"}) EXPECT_EQ(steps_of(plain, op), 0u) << op;
    for (const char* path : {"layers.0.mixer.q", "layers.0.mixer.k", "layers.0.mixer.probabilities"}) {
        const Session tapped = make_session(model);
        tap(tapped, {path});
        EXPECT_LT(distance(feed(tapped, ids), want), 1e-5) << path;
        EXPECT_EQ(steps_of(tapped, "orr.rope_attention/1"), layers - 1) << path;
        EXPECT_EQ(steps_of(tapped, "orr.attention/1"), 1u) << path;
    }
    const Session outside = make_session(model);
    tap(outside, {"layers.0.mixer.v", "layers.0.mixer.context", "layers.0.output"});
    EXPECT_LT(distance(feed(outside, ids), want), 1e-5);
    EXPECT_EQ(steps_of(outside, "orr.rope_attention/1"), layers);
}

INSTANTIATE_TEST_SUITE_P(Cases, VulkanLayers, testing::Values("llama", "qwen3", "gemma2", "gemma3", "phi3", "phi3_longrope", "olmo2", "mistral_window", "llama_masked"));

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

// Budgets from nothing to plenty: powers of two and what lies between.
class VulkanBudgets : public Vulkan, public testing::WithParamInterface<const char*> {
  protected:
    static std::vector<uint64_t> budgets() {
        std::vector<uint64_t> all = {1, 255, 4097};
        for (uint64_t n = 32 << 10; n < kAllFits; n *= 2) all.insert(all.end(), {n, n + n / 2 + 1});
        all.push_back(kAllFits);
        return all;
    }
    static constexpr uint64_t kAllFits = 4 << 20;
    static Engine engine_of(uint64_t budget) {
        return make_engine([&](orr_engine_options& o) { o.device_memory_budget_bytes = budget; });
    }
    static uint64_t used(const Engine& engine) {
        const Json devices = about(engine.get(), "capabilities")["devices"];
        for (const Json& d : devices)
            if (d["id"] == "vulkan:0") return d.value("used_bytes", uint64_t{0});
        return UINT64_MAX;
    }
    static Tensor run_rows(const Session& s, const std::vector<int32_t>& ids, int64_t batch) {
        Tensor in = ids_tensor(ids);
        in.shape = {batch, static_cast<int64_t>(ids.size()) / batch};
        return run(s, {{"input_ids", in}}, "next").at("logits");
    }
    static Session session_of(const Model& model, int64_t batch) {
        return make_session(model, [&](orr_session_options& o) { o.context = 128, o.batch = batch; });
    }
    // Prompts of growing length, and back to where a mark is.
    static std::vector<Tensor> answers(const Session& s, int64_t batch, uint32_t seed) {
        std::vector<Tensor> out;
        const auto go = [&](int64_t tokens) { out.push_back(run_rows(s, some_ids(static_cast<size_t>(tokens * batch), kVocabulary, seed + static_cast<uint32_t>(out.size())), batch)); };
        for (const int64_t tokens : {2, 1, 9}) go(tokens);
        check(orr_session_mark(s.get()));
        for (const int64_t tokens : {70, 1}) go(tokens);
        check(orr_session_rollback(s.get(), 12));
        for (const int64_t tokens : {30, 1}) go(tokens);
        return out;
    }
    static void expect_near(const std::vector<Tensor>& got, const std::vector<Tensor>& want, const std::string& what) {
        ASSERT_EQ(got.size(), want.size());
        for (size_t k = 0; k < want.size(); k++) EXPECT_LT(distance(got[k], want[k]), 1e-4) << what << ", run " << k;
    }
};

TEST_P(VulkanBudgets, WhatDoesNotFitStaysWithTheProcessor) {
    const Model here = open_on(GetParam(), "cpu");
    int between = 0, retreats = 0;
    for (const int64_t batch : {1, 3}) {
        const auto want = answers(session_of(here, batch), batch, 1);
        for (const uint64_t budget : budgets()) {
            const Engine engine = engine_of(budget);
            const Session s = session_of(open_on(GetParam(), "vulkan", engine.get()), batch);
            expect_near(answers(s, batch, 1), want, "budget " + std::to_string(budget) + ", batch " + std::to_string(batch));
            const double share = Json::parse(describe(s, "plan", "next"))["device_flops_share"];
            if (budget < 256) {
                EXPECT_EQ(share, 0.0) << budget;
            }
            if (budget >= kAllFits) {
                EXPECT_EQ(share, 1.0) << budget;
            }
            EXPECT_LE(used(engine), budget);
            between += share > 0 && share < 1;
            retreats += Json::parse(describe(s, "memory"))["device_eighths"] < 8;
        }
    }
    EXPECT_GT(between, 0);
    EXPECT_GT(retreats, 0);
}

// Each has what the others leave.
TEST_P(VulkanBudgets, SessionsShareOne) {
    const Model here = open_on(GetParam(), "cpu");
    constexpr uint32_t kSessions = 4;
    std::vector<std::vector<Tensor>> want;
    for (uint32_t i = 0; i < kSessions; i++) {
        const Session alone = session_of(here, 1);
        want.push_back(answers(alone, 1, 20 * i));
        want.back().push_back(feed(alone, {static_cast<int32_t>(5 + i)}));
    }
    for (uint64_t budget = 32 << 10; budget <= kAllFits; budget *= 2) {
        const Engine engine = engine_of(budget);
        const Model model = open_on(GetParam(), "vulkan", engine.get());
        std::vector<Session> sessions;
        for (uint32_t i = 0; i < kSessions; i++) sessions.push_back(session_of(model, 1));
        std::vector<std::vector<Tensor>> got(kSessions);
        std::vector<std::thread> threads;
        for (uint32_t i = 0; i < kSessions; i++)
            threads.emplace_back([&, i] {
                try {
                    got[i] = answers(sessions[i], 1, 20 * i);
                } catch (const Failure& f) {
                    ADD_FAILURE() << "budget " << budget << ": " << f.what();
                }
            });
        for (auto& t : threads) t.join();
        EXPECT_LE(used(engine), budget);
        // One step for all, whatever of each lies where.
        std::vector<orr_session*> all;
        for (const Session& s : sessions) all.push_back(s.get());
        const Tensor next{ORR_TYPE_I32, {kSessions, 1}, ids_tensor({5, 6, 7, 8}).bytes};
        const orr_named_tensor in = named("input_ids", next);
        const orr_named_tensor* const ins[] = {&in};
        check(orr_session_run_batch(kSessions, all.data(), "next", 1, ins, 0, nullptr));
        orr_named_tensor out{};
        out.header = ORR_HEADER(orr_named_tensor);
        check(orr_session_output(all[0], orr_session_output_name(all[0], 0), &out));
        for (uint32_t i = 0; i < kSessions; i++) {
            Tensor& row = got[i].emplace_back(want[i].back());
            std::memcpy(row.bytes.data(), static_cast<const char*>(out.data) + i * row.bytes.size(), row.bytes.size());
            expect_near(got[i], want[i], "budget " + std::to_string(budget) + ", session " + std::to_string(i));
        }
    }
}

// A file of a session whose states the device has no room for.
TEST_P(VulkanBudgets, FilesAreLoadedWhereverThereIsRoom) {
    const std::string path = scratch(std::string("vulkan_budget_") + GetParam());
    const auto ids = some_ids(70, kVocabulary);
    const Session here = make_session(open_on(GetParam(), "cpu"));
    feed(here, ids);
    check(orr_session_save(here.get(), path.c_str()));
    const Tensor want = feed(here, {7, 8});
    for (const uint64_t budget : budgets()) {
        const Engine engine = engine_of(budget);
        const Session s = make_session(open_on(GetParam(), "vulkan", engine.get()));
        check(orr_session_load(s.get(), path.c_str()));
        EXPECT_LT(distance(feed(s, {7, 8}), want), 1e-4) << budget;
    }
}

INSTANTIATE_TEST_SUITE_P(Cases, VulkanBudgets, testing::Values("llama", "mamba", "mistral_window"));

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
    // A pipe that nobody writes to is not waited for.
    std::filesystem::remove(file);
    ASSERT_EQ(::mkfifo(file.c_str(), 0600), 0);
    EXPECT_SAME_BITS(run(), want);
    EXPECT_TRUE(std::filesystem::is_regular_file(file));
}

// ---------------------------------------------------------------- a loader that makes calls fail

class VulkanFaults : public Vulkan {
  protected:
    void TearDown() override {
        fault.on = false;
        vulkan_loader::like_a_card = false;
        vulkan_loader::late = nullptr;  // a test that ended half-way has its queue no more
        vulkan_loader::late_ms = 8;
    }
    static void plan(const char* function, VkResult result, int after) { fault.plan(function, result, after); }
    const orr_vulkan_host host = {ORR_HEADER(orr_vulkan_host), reinterpret_cast<void*>(&vulkan_loader::instance_address), nullptr, nullptr, nullptr, nullptr, 0, 0, nullptr, nullptr, nullptr, nullptr, nullptr};
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

// Each call that an engine makes until a device is complete fails once: nothing that was made stays.
TEST_F(VulkanFaults, AHalfMadeDeviceLeavesNothing) {
    const auto open = [&] {
        const Engine fresh = make_engine([&](orr_engine_options& o) {
            o.vulkan = &host;
            o.cache_dir = "";
        });
        open_on("llama", "vulkan", fresh.get());
    };
    const std::string before = vulkan_loader::live.text();
    vulkan_loader::asked.clear();
    open();
    EXPECT_EQ(vulkan_loader::live.text(), before);
    for (const char* function : {"vkCreateInstance", "vkEnumeratePhysicalDevices", "vkCreateDevice", "vkCreateSemaphore", "vkCreatePipelineLayout", "vkCreateCommandPool", "vkAllocateCommandBuffers"})
        for (const int after : {0, 1}) {
            plan(function, VK_ERROR_OUT_OF_HOST_MEMORY, after);
            bool failed = false;
            try {
                open();
            } catch (const Failure& f) {
                failed = true;
                EXPECT_EQ(f.status, ORR_OUT_OF_MEMORY) << std::string(f.what());
            }
            const bool struck = fault.after < 0;
            fault.on = false;
            EXPECT_EQ(failed, struck) << function;
            EXPECT_TRUE(struck || after > 0) << function;
            EXPECT_EQ(vulkan_loader::live.text(), before) << function << " " << after;
        }
    // Without a cache of pipelines a device does as well.
    plan("vkCreatePipelineCache", VK_ERROR_OUT_OF_HOST_MEMORY, 0);
    open();
    fault.on = false;
    EXPECT_EQ(vulkan_loader::live.text(), before);
    // Functions that a driver lacks.
    const std::set<std::string> asked = vulkan_loader::asked;
    size_t refused = 0;
    for (const std::string& name : asked) {
        if (name == "vkDestroyDevice" || name == "vkDestroyInstance") continue;
        vulkan_loader::absent = name;
        try {
            open();
        } catch (const Failure& f) {
            refused++;
            EXPECT_NE(std::string(f.what()).find(name == "vkEnumerateInstanceVersion" ? "1.2 is needed" : name), std::string::npos) << f.what();
        }
        vulkan_loader::absent.clear();
        EXPECT_EQ(vulkan_loader::live.text(), before) << name;
    }
    EXPECT_GT(refused, 40u);
}

TEST_F(VulkanFaults, DescribingOpensNothing) {
    const Engine fresh = make_engine([&](orr_engine_options& o) {
        o.vulkan = &host;
        o.cache_dir = "";
    });
    plan("vkCreateDevice", VK_ERROR_INITIALIZATION_FAILED, 0);
    const Json closed = about(fresh.get(), "capabilities")["devices"];
    ASSERT_GE(closed.size(), 2u);
    EXPECT_EQ(closed[1]["id"], "vulkan:0");
    EXPECT_FALSE(closed[1].contains("problem")) << closed.dump();
    EXPECT_EQ(closed[1]["open"], false);
    EXPECT_GT(closed[1]["memory_bytes"], 0);
    EXPECT_TRUE(about(fresh.get(), "devices")[1].contains("problem"));
    fault.on = false;
    const Json open = about(fresh.get(), "devices");
    EXPECT_EQ(open[1]["open"], true) << open.dump();
    EXPECT_EQ(about(fresh.get(), "capabilities")["devices"], open);
}

// ---------------------------------------------------------------- uploads

// A device whose memory the processor does not see: weights, states and results pass through staging buffers.
TEST_F(VulkanFaults, ACardWhoseMemoryIsItsOwn) {
    const Tensor want = feed(make_session(open_on("llama", "vulkan")), ids);
    vulkan_loader::like_a_card = true;
    const Engine card = make_engine([&](orr_engine_options& o) {
        o.vulkan = &host;
        o.cache_dir = "";
    });
    const Model model = open_on("llama", "vulkan", card.get());
    const Session s = make_session(model);
    EXPECT_SAME_BITS(feed(s, ids), want);
    const std::string path = scratch("vulkan_card");
    check(orr_session_save(s.get(), path.c_str()));
    const Tensor next = feed(s, {3});
    const Session other = make_session(model);
    check(orr_session_load(other.get(), path.c_str()));
    EXPECT_SAME_BITS(feed(other, {3}), next);
}

// The same where the queue is long behind the calls.
TEST_F(VulkanFaults, ACardThatTakesItsTime) {
    const Tensor want = feed(make_session(open_on("gemma3", "vulkan")), ids);
    vulkan_loader::LateQueue queue;
    vulkan_loader::late = &queue;
    vulkan_loader::like_a_card = true;
    {
        const Engine card = make_engine([&](orr_engine_options& o) {
            o.vulkan = &host;
            o.cache_dir = "";
        });
        const Model model = open_on("gemma3", "vulkan", card.get());
        const Session s = make_session(model);
        EXPECT_SAME_BITS(feed(s, ids), want);
        const Session other = fork(s);
        const Tensor next = feed(s, {3});
        EXPECT_SAME_BITS(feed(other, {3}), next);
    }
    vulkan_loader::late = nullptr;
}

struct Calls {
    int64_t until, n;  // the call that says no; calls so far
    std::vector<double> fractions;
};
bool count_call(void* user, double fraction, const char* what) {
    auto& c = *static_cast<Calls*>(user);
    if (std::strcmp(what, "planning") == 0) c.fractions.push_back(fraction);
    return c.n++ != c.until;
}

TEST_F(VulkanFaults, UploadsTellHowFarTheyAreAndCanBeCancelled) {
    const Tensor want = feed(make_session(open_on("llama", "vulkan")), ids);
    const auto plan_with = [&](const Model& model, Calls& calls) {
        const Session s = make_session(model, [&](orr_session_options& o) {
            o.progress = count_call;
            o.progress_user = &calls;
        });
        return feed(s, ids);
    };
    vulkan_loader::like_a_card = true;
    const Engine card = make_engine([&](orr_engine_options& o) {
        o.vulkan = &host;
        o.cache_dir = "";
    });
    Calls first{-1, 0, {}}, second{-1, 0, {}};
    const Model model = open_on("llama", "vulkan", card.get());
    EXPECT_SAME_BITS(plan_with(model, first), want);
    EXPECT_SAME_BITS(plan_with(model, second), want);
    // The first plan uploads each weight once, the second nothing.
    const uint64_t weights = Json::parse(model_text(model, "weights")).size();
    EXPECT_GE(first.fractions.size(), second.fractions.size() + weights / 2) << weights;
    EXPECT_TRUE(std::is_sorted(first.fractions.begin(), first.fractions.end()));
    const auto planning = static_cast<int64_t>(first.fractions.size());
    for (int64_t until = 0; until < planning; until += 3) {
        const Model again = open_on("llama", "vulkan", card.get());
        Calls calls{until, 0, {}};
        expect_failure([&] { plan_with(again, calls); }, ORR_CANCELLED, {});
        EXPECT_EQ(calls.n, until + 1);
        Calls all{-1, 0, {}};
        EXPECT_SAME_BITS(plan_with(again, all), want);
    }
}

// ---------------------------------------------------------------- submissions of bounded length

// Plans are cut by guesses, and cut anew where one took too long: once or twice, and the bits stay.
TEST_F(Vulkan, SubmissionsAreCutToTheirBound) {
    const auto ids = some_ids(100, kVocabulary);
    const Tensor want = feed(make_session(open_on("llama", "vulkan")), ids);
    const Engine engine = make_engine([](orr_engine_options& o) { o.device_submission_ms = 1; });
    const Model model = open_on("llama", "vulkan", engine.get());
    const Session s = make_session(model);
    uint64_t submissions = 0, recorded = 0;
    double fastest = INFINITY;
    for (int i = 0; i < 8; i++) {
        check(orr_session_reset(s.get()));
        const auto start = std::chrono::steady_clock::now();
        EXPECT_SAME_BITS(feed(s, ids), want);
        fastest = std::min(fastest, milliseconds_since(start));
        const Json plan = Json::parse(describe(s, "plan", "next"));
        EXPECT_GE(plan["submissions"].get<uint64_t>(), submissions);
        submissions = plan["submissions"];
        recorded = plan["recorded"];
    }
    if (submissions == 1 && fastest < 1) GTEST_SKIP() << "a run takes " << fastest << " ms, less than the least bound";
    EXPECT_GT(submissions, 3u);
    EXPECT_GE(recorded, 2u);
    EXPECT_LE(recorded, 3u);
    // What was learned of the device holds for the next plan.
    const Session other = make_session(model);
    EXPECT_SAME_BITS(feed(other, ids), want);
    EXPECT_GT(Json::parse(describe(other, "plan", "next"))["submissions"].get<uint64_t>(), 3u);
    // A bound that nothing reaches leaves one.
    const Engine patient = make_engine([](orr_engine_options& o) { o.device_submission_ms = 60000; });
    const Session whole = make_session(open_on("llama", "vulkan", patient.get()));
    for (int i = 0; i < 3; i++) {
        check(orr_session_reset(whole.get()));
        EXPECT_SAME_BITS(feed(whole, ids), want);
    }
    const Json plan = Json::parse(describe(whole, "plan", "next"));
    EXPECT_EQ(plan["submissions"], 1);
    EXPECT_EQ(plan["recorded"], 1);
}

// Something else on the device is slow for a while: plans are cut for it, and not for ever.
TEST_F(VulkanFaults, SubmissionsGrowAgain) {
    const auto many = some_ids(100, kVocabulary);
    const Engine bounded = make_engine([&](orr_engine_options& o) { o.device_submission_ms = 1000, o.vulkan = &host; });
    const Model model = open_on("llama", "vulkan", bounded.get());
    const auto parts = [](const Session& s) { return Json::parse(describe(s, "plan", "next"))["submissions"].get<int>(); };
    const auto again = [&](const Session& s) {
        check(orr_session_reset(s.get()));
        return feed(s, many);
    };
    const Session s = make_session(model);
    const Tensor want = feed(s, many);
    again(s);  // by now the driver has compiled everything
    {
        vulkan_loader::LateQueue queue;
        vulkan_loader::late_ms = 5000;  // far more than a run of this takes on a busy machine
        vulkan_loader::late = &queue;
        again(s);
        vulkan_loader::late = nullptr;
        vulkan_loader::late_ms = 8;
    }
    EXPECT_SAME_BITS(again(s), want);
    const int cut = parts(s);
    EXPECT_GT(cut, 1);
    for (int i = 0; i < 300 && parts(s) == cut; i++) again(s);
    EXPECT_LT(parts(s), cut);  // one, unless the machine is busy
    EXPECT_LE(Json::parse(describe(s, "plan", "next"))["recorded"].get<int>(), 3);
    EXPECT_SAME_BITS(again(s), want);
    const Session fresh = make_session(model);
    EXPECT_SAME_BITS(feed(fresh, many), want);
    EXPECT_LT(parts(fresh), cut);
}

TEST_F(Vulkan, RunsAreCancelledBetweenSubmissions) {
    const auto ids = some_ids(100, kVocabulary);
    const Engine engine = make_engine([](orr_engine_options& o) { o.device_submission_ms = 1; });
    const Model model = open_on("llama", "vulkan", engine.get());
    struct Watch {
        int until = -1, n = 0;
    } watch;
    const Session s = make_session(model, [&](orr_session_options& o) {
        o.progress = [](void* user, double, const char* what) {
            auto& w = *static_cast<Watch*>(user);
            return std::strcmp(what, "running") != 0 || w.n++ != w.until;
        };
        o.progress_user = &watch;
    });
    Tensor want;
    double fastest = INFINITY;
    for (int i = 0; i < 4; i++) {  // until the plan is cut
        check(orr_session_reset(s.get()));
        watch.n = 0;
        const auto start = std::chrono::steady_clock::now();
        want = feed(s, ids);
        fastest = std::min(fastest, milliseconds_since(start));
    }
    if (watch.n == 0 && fastest < 1) GTEST_SKIP() << "a run takes " << fastest << " ms, less than the least bound";
    ASSERT_GT(watch.n, 2);
    for (int until = 0; until < watch.n && until < 6; until++) {
        check(orr_session_reset(s.get()));
        Watch at{until, 0};
        std::swap(at, watch);
        expect_failure([&] { feed(s, ids); }, ORR_CANCELLED, {"cancelled"});
        EXPECT_EQ(watch.n, until + 1);
        EXPECT_EQ(orr_session_position(s.get()), 0);
        std::swap(at, watch);
        watch.n = 0;
        EXPECT_SAME_BITS(feed(s, ids), want);
    }
    // The same through slices of the caller's.
    check(orr_session_reset(s.get()));
    const Tensor tensor = ids_tensor(ids);
    const orr_named_tensor in = named("input_ids", tensor);
    const orr_named_tensor* const ins[] = {&in};
    check(orr_session_begin(s.get(), "next", 1, ins, 0, nullptr));
    bool done = false;
    int slices = 0;
    while (!done) {
        check(orr_session_step(s.get(), 1, &done));
        slices++;
    }
    EXPECT_GT(slices, 2);
}

}  // namespace
}  // namespace engine_tests
