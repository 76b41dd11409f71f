// An engine on the host's own Vulkan device: its queue under the host's lock, its buffers as inputs and outputs, its semaphores round the runs.
#include "vulkan_host.hpp"

#include <chrono>
#include <optional>

#include "support.hpp"

namespace engine_tests {
namespace {

constexpr uint64_t kSpace = 64 << 10;  // of one buffer
constexpr int32_t kVocabulary = 41;

class VulkanShare : public testing::Test {
  protected:
    void SetUp() override {
        if (kThreadSanitizer) GTEST_SKIP() << "drivers are not instrumented";
        try {
            host = std::make_unique<VulkanHost>();
        } catch (const std::runtime_error& e) {
            GTEST_SKIP() << e.what();
        }
        engine = engine_of(*host);
    }
    void TearDown() override {
        engine.reset();
        for (auto& b : buffers) host->release(b);
        for (const VkSemaphore s : semaphores) host->vk.DestroySemaphore(host->device, s, nullptr);
        host.reset();
    }
    static Engine engine_of(VulkanHost& host, uint64_t budget = 0, const std::function<void(orr_vulkan_host&)>& change = {}, uint32_t submission_ms = 0) {
        orr_vulkan_host table = host.table();
        if (change) change(table);
        return make_engine([&](orr_engine_options& o) {
            o.vulkan = &table;
            o.cache_dir = "";
            o.device_memory_budget_bytes = budget;
            o.device_submission_ms = submission_ms;
        });
    }
    static Model open_on(orr_engine* engine, const std::string& name, const char* device = "vulkan") { return open_golden(name, engine, device); }
    VulkanHost::Buffer& buffer(uint32_t usage = VulkanHost::kUsage) {
        buffers.push_back(host->make_buffer(kSpace, usage));
        std::memset(buffers.back().mapped, 0x55, kSpace);
        return buffers.back();
    }
    VkSemaphore timeline() {
        semaphores.push_back(host->make_timeline());
        return semaphores.back();
    }
    std::unique_ptr<VulkanHost> host;
    Engine engine;
    std::deque<VulkanHost::Buffer> buffers;
    std::vector<VkSemaphore> semaphores;
};

// A picture for the small vision transformer, and what a plain run makes of it.
Tensor picture(uint32_t seed, int64_t batch = 2) {
    std::mt19937 random(seed);
    std::uniform_real_distribution<float> draw(-2, 2);
    Tensor t{ORR_TYPE_F32, {batch, 3, 12, 12}, {}};
    std::vector<float> values(static_cast<size_t>(batch * 3 * 12 * 12));
    for (float& v : values) v = draw(random);
    t.bytes.assign(reinterpret_cast<const char*>(values.data()), reinterpret_cast<const char*>(values.data() + values.size()));
    return t;
}
const std::string kModel = "vit_classifier";
constexpr uint64_t kLogits = 2 * 5 * 4;

orr_named_tensor in_buffer(const Tensor& t, const orr_vulkan_buffer& where, const char* name = "pixel_values") {
    orr_named_tensor n = named(name, t);
    n.data = nullptr;
    n.buffer = &where;
    return n;
}

// What a run shares; kept until it is set.
struct Shared {
    std::vector<orr_vulkan_semaphore> waits, signals;
    std::vector<std::pair<std::string, std::optional<orr_vulkan_buffer>>> outputs;
    static orr_vulkan_semaphore at(VkSemaphore s, uint64_t value) { return {ORR_HEADER(orr_vulkan_semaphore), reinterpret_cast<void*>(s), value}; }
    void set(const Session& s) const {
        std::vector<const orr_vulkan_semaphore*> w, g;
        for (const auto& x : waits) w.push_back(&x);
        for (const auto& x : signals) g.push_back(&x);
        std::vector<orr_vulkan_output> list;
        for (const auto& [name, where] : outputs) list.push_back({ORR_HEADER(orr_vulkan_output), name.c_str(), where ? &*where : nullptr});
        std::vector<const orr_vulkan_output*> o;
        for (const auto& x : list) o.push_back(&x);
        const orr_vulkan_share share = {ORR_HEADER(orr_vulkan_share), static_cast<uint32_t>(w.size()), static_cast<uint32_t>(g.size()), w.data(), g.data(), static_cast<uint32_t>(o.size()), o.data()};
        check(orr_session_share(s.get(), &share));
    }
};

void run_one(const Session& s, const orr_named_tensor& in) {
    const orr_named_tensor* const ins[] = {&in};
    check(orr_session_run(s.get(), nullptr, 1, ins, 0, nullptr));
}
orr_named_tensor result(const Session& s, const char* name = "logits") {
    orr_named_tensor out{};
    out.header = ORR_HEADER(orr_named_tensor);
    check(orr_session_output(s.get(), name, &out));
    return out;
}
std::string plain_run(const Session& s, const Tensor& pixels) {
    run_one(s, named("pixel_values", pixels));
    const orr_named_tensor out = result(s);
    EXPECT_EQ(out.buffer, nullptr);
    return {static_cast<const char*>(out.data), out.size_bytes};
}

TEST_F(VulkanShare, AnswersAsOnADeviceOfItsOwn) {
    const Engine own = make_engine();
    const auto ids = some_ids(40, kVocabulary);
    for (const char* name : {"llama", "mamba"}) {
        const Session a = make_session(open_on(engine.get(), name)), b = make_session(open_on(own.get(), name));
        EXPECT_SAME_BITS(feed(a, part(ids, 0, 30)), feed(b, part(ids, 0, 30)));
        for (size_t i = 30; i < 40; i++) EXPECT_SAME_BITS(feed(a, {ids[i]}), feed(b, {ids[i]}));
    }
    EXPECT_GT(host->submissions, 20);
    EXPECT_GE(host->locks, host->submissions);
    const Json devices = about(engine.get(), "capabilities")["devices"];
    ASSERT_EQ(devices.size(), 2u);
    EXPECT_EQ(devices[1]["host"], true) << devices.dump();
}

// The host's own threads use the queue at the same time, under the same lock.
TEST_F(VulkanShare, TheQueueIsUsedByBoth) {
    const Model model = open_on(engine.get(), "llama");
    const auto ids = some_ids(30, kVocabulary);
    const Tensor want = feed(make_session(model), ids);
    auto &from = buffer(), &to = buffer();
    for (uint64_t i = 0; i < kSpace; i++) from.mapped[i] = static_cast<char>(i * 7);
    std::atomic<bool> stop{false};
    std::atomic<uint64_t> copies{0};
    const VkSemaphore done = timeline();
    std::thread renderer([&] {
        while (!stop) {
            const uint64_t n = copies + 1;
            host->submit_copy(from.buffer, 0, to.buffer, 0, kSpace, {}, {done, n});
            copies = n;
            if (n % 8 == 0) host->wait(done, n);
        }
        host->wait(done, copies);
    });
    std::vector<std::thread> threads;
    std::atomic<int> good{0};
    for (int t = 0; t < 2; t++)
        threads.emplace_back([&] {
            const Session s = make_session(model);
            for (int i = 0; i < 10; i++) {
                good += feed(s, ids).bytes == want.bytes;
                check(orr_session_reset(s.get()));
            }
        });
    for (auto& t : threads) t.join();
    stop = true;
    renderer.join();
    EXPECT_EQ(good, 20);
    EXPECT_GT(copies, 8u);
    EXPECT_EQ(std::memcmp(from.mapped, to.mapped, kSpace), 0);
}

TEST_F(VulkanShare, WhatTheDeviceLacksIsNamed) {
    engine.reset();
    const auto refused = [&](const VulkanHost::Wish& wish, const std::string& what) {
        host.reset();
        host = std::make_unique<VulkanHost>(wish);
        expect_failure([&] { engine_of(*host); }, ORR_UNSUPPORTED, {"vulkan:0", what});
    };
    refused({false, true, VK_API_VERSION_1_3}, "bufferDeviceAddress");
    refused({true, false, VK_API_VERSION_1_3}, "timelineSemaphore");
    // 1.2 is enough.
    host.reset();
    host = std::make_unique<VulkanHost>(VulkanHost::Wish{true, true, VK_API_VERSION_1_2});
    feed(make_session(open_on(engine_of(*host).get(), "llama")), {1, 2, 3});
    const auto wrong = [&](const std::function<void(orr_vulkan_host&)>& change, orr_status status, const std::vector<std::string>& parts) {
        expect_failure([&] { engine_of(*host, 0, change); }, status, parts);
    };
    wrong([](orr_vulkan_host& h) { h.api_version = VK_API_VERSION_1_1; }, ORR_UNSUPPORTED, {"1.1", "1.2"});
    wrong([](orr_vulkan_host& h) { h.features = nullptr; }, ORR_INVALID_ARGUMENT, {"features", "bufferDeviceAddress", "timelineSemaphore"});
    wrong([](orr_vulkan_host& h) { h.queue_family = 77; }, ORR_INVALID_ARGUMENT, {"queue_family", "77"});
    wrong([](orr_vulkan_host& h) { h.queue = nullptr; }, ORR_INVALID_ARGUMENT, {"queue", "together"});
    wrong([](orr_vulkan_host& h) { h.instance = nullptr; }, ORR_INVALID_ARGUMENT, {"instance", "together"});
    wrong([](orr_vulkan_host& h) { h.unlock_queue = nullptr; }, ORR_INVALID_ARGUMENT, {"lock_queue", "unlock_queue"});
    wrong([](orr_vulkan_host& h) { h.header.struct_size = 4; }, ORR_ABI_MISMATCH, {"orr_vulkan_host", "4"});
}

// Inputs lie in the host's buffers, outputs are read where they lie; more buffers in turn than a plan keeps recordings of. A tight
// budget leaves some of the steps to the processor.
constexpr uint64_t kPlenty = 0, kTight = 112 << 10;
class VulkanShareBudgets : public VulkanShare, public testing::WithParamInterface<uint64_t> {
  protected:
    // The same bits where all is on the device; what fits there beside another session differs.
    static void expect_logits(const std::string& got, const std::string& want) {
        ASSERT_EQ(got.size(), want.size());
        if (GetParam() == kPlenty) {
            EXPECT_TRUE(got == want);
            return;
        }
        for (size_t i = 0; i < got.size(); i += sizeof(float)) {
            float a, b;
            std::memcpy(&a, &got[i], sizeof a);
            std::memcpy(&b, &want[i], sizeof b);
            EXPECT_NEAR(a, b, 1e-5) << i / sizeof a;
        }
    }
};

TEST_P(VulkanShareBudgets, TensorsCrossWithoutTheHostsMemory) {
    engine = engine_of(*host, GetParam());
    const Model model = open_on(engine.get(), kModel);
    const Session plain = make_session(model), s = make_session(model);
    auto& back = buffer();
    for (int round = 0; round < 3; round++)
        for (uint32_t i = 0; i < 6; i++) {
            const Tensor pixels = picture(i + 1);
            const std::string want = plain_run(plain, pixels);
            if (buffers.size() < 2 + i) buffer();
            auto& from = buffers[1 + i];
            const uint64_t offset = 64 * (i * 3);
            std::memcpy(from.mapped + offset, pixels.bytes.data(), pixels.bytes.size());
            const orr_vulkan_buffer where = from.part(offset, pixels.bytes.size());
            if (i % 2 == 0) {
                // Out of the host's buffer into host memory.
                run_one(s, in_buffer(pixels, where));
                const orr_named_tensor out = result(s);
                ASSERT_NE(out.data, nullptr);
                expect_logits(std::string(static_cast<const char*>(out.data), out.size_bytes), want);
            }
            Shared shared;
            shared.outputs = {{"logits", {}}};
            shared.set(s);
            run_one(s, in_buffer(pixels, where));
            const orr_named_tensor out = result(s);
            EXPECT_EQ(out.data, nullptr);
            ASSERT_NE(out.buffer, nullptr);
            EXPECT_EQ(out.size_bytes, want.size());
            EXPECT_EQ(out.buffer->bytes, want.size());
            EXPECT_EQ(out.buffer->address % 4, 0u);
            EXPECT_TRUE(out.buffer->usage & VK_BUFFER_USAGE_STORAGE_BUFFER_BIT);
            const VkSemaphore copied = timeline();
            host->submit_copy(reinterpret_cast<VkBuffer>(out.buffer->handle), out.buffer->offset, back.buffer, 0, kLogits, {}, {copied, 1});
            host->wait(copied, 1);
            expect_logits(std::string(back.mapped, kLogits), want);
            // The host's own input is as it was.
            EXPECT_EQ(std::memcmp(from.mapped + offset, pixels.bytes.data(), pixels.bytes.size()), 0);
        }
    const Json plan = Json::parse(describe(s, "plan"));
    const double on_device = plan["device_flops_share"];
    if (GetParam() == kTight) {
        EXPECT_GT(on_device, 0.0);
        EXPECT_LT(on_device, 1.0);
    } else {
        EXPECT_EQ(on_device, 1.0);
        EXPECT_GT(plan["recorded"].get<int>(), 4);  // six addresses, four kept
    }
}

TEST_P(VulkanShareBudgets, OutputsAreWrittenToTheHostsBuffers) {
    engine = engine_of(*host, GetParam());
    const Model model = open_on(engine.get(), kModel);
    const Session s = make_session(model);
    const Tensor pixels = picture(4);
    const std::string want = plain_run(make_session(model), pixels);
    auto &from = buffer(), &to = buffer(VK_BUFFER_USAGE_TRANSFER_DST_BIT);
    std::memcpy(from.mapped, pixels.bytes.data(), pixels.bytes.size());
    const orr_vulkan_buffer where = from.part(0, kSpace);
    for (const uint64_t offset : {uint64_t{0}, uint64_t{4}, uint64_t{1000}, kSpace - kLogits}) {
        std::memset(to.mapped, 0x55, kSpace);
        Shared shared;
        shared.outputs = {{"logits", to.part(offset, kLogits)}};
        shared.set(s);
        run_one(s, in_buffer(pixels, where));
        expect_logits(std::string(to.mapped + offset, kLogits), want);
        std::string around(to.mapped, kSpace);
        around.erase(offset, kLogits);
        EXPECT_TRUE(around == std::string(kSpace - kLogits, 0x55)) << offset;
    }
    // From host memory to the host's buffer, over the input itself.
    Shared shared;
    shared.outputs = {{"logits", from.part(0, kSpace)}};
    shared.set(s);
    run_one(s, in_buffer(pixels, where));
    expect_logits(std::string(from.mapped, kLogits), want);
    shared.set(s);
    run_one(s, named("pixel_values", pixels));
    expect_logits(std::string(from.mapped, kLogits), want);
    // For one run alone.
    EXPECT_TRUE(plain_run(s, pixels) == want);
}

// The host's work before and behind the run, ordered by semaphores on the device alone.
TEST_P(VulkanShareBudgets, SemaphoresOrderTheRun) {
    engine = engine_of(*host, GetParam());
    const Model model = open_on(engine.get(), kModel);
    const Session s = make_session(model);
    const Tensor pixels = picture(5), other = picture(6);
    const std::string want = plain_run(make_session(model), pixels);
    auto &source = buffer(), &from = buffer(), &to = buffer(), &back = buffer();
    const VkSemaphore gate = timeline(), clock = timeline();
    std::memcpy(source.mapped, pixels.bytes.data(), pixels.bytes.size());
    for (uint64_t round = 0; round < 4; round++) {
        std::memcpy(from.mapped, other.bytes.data(), other.bytes.size());
        std::memset(to.mapped, 0, kSpace);
        std::memset(back.mapped, 0, kSpace);
        // The pass before: stands in the queue until the gate opens, which it does when the run is well under way.
        host->submit_copy(source.buffer, 0, from.buffer, 0, pixels.bytes.size(), {gate, round + 1}, {clock, 3 * round + 1});
        std::thread opens([&] {
            std::this_thread::sleep_for(std::chrono::milliseconds(30));
            host->signal(gate, round + 1);
        });
        Shared shared;
        shared.waits = {Shared::at(clock, 3 * round + 1)};
        shared.signals = {Shared::at(clock, 3 * round + 2)};
        const bool copied = round < 2;
        if (copied) shared.outputs = {{"logits", to.part(0, kSpace)}};
        shared.set(s);
        const orr_vulkan_buffer where = from.part(0, kSpace);
        const orr_named_tensor in = in_buffer(pixels, where);
        const orr_named_tensor* const ins[] = {&in};
        if (round % 2) {
            check(orr_session_start(s.get(), nullptr, 1, ins, 0, nullptr));
            host->wait(clock, 3 * round + 2);
            bool done = false;
            check(orr_session_wait(s.get(), UINT64_MAX, &done));
        } else {
            run_one(s, in);
        }
        EXPECT_EQ(host->value(clock), 3 * round + 2);
        opens.join();
        if (!copied) {
            expect_logits(std::string(static_cast<const char*>(result(s).data), kLogits), want);
            host->signal(clock, 3 * round + 3);
            continue;
        }
        // The pass behind.
        host->submit_copy(to.buffer, 0, back.buffer, 0, kLogits, {clock, 3 * round + 2}, {clock, 3 * round + 3});
        host->wait(clock, 3 * round + 3);
        expect_logits(std::string(back.mapped, kLogits), want);
    }
}

// What stands in no queue orders the run too: the host writes the input with its own hands and then opens the gate.
TEST_P(VulkanShareBudgets, TheRunWaitsForTheHost) {
    engine = engine_of(*host, GetParam());
    const Model model = open_on(engine.get(), kModel);
    const Session s = make_session(model), plain = make_session(model);
    auto &from = buffer(), &to = buffer();
    const VkSemaphore gate = timeline(), behind = timeline();
    for (uint32_t round = 1; round <= 3; round++) {
        const Tensor pixels = picture(20 + round);
        const std::string want = plain_run(plain, pixels);
        std::thread writer([&] {
            std::this_thread::sleep_for(std::chrono::milliseconds(30));
            std::memcpy(from.mapped + 128, pixels.bytes.data(), pixels.bytes.size());
            EXPECT_LT(host->value(behind), round);
            host->signal(gate, round);
        });
        Shared shared;
        shared.waits = {Shared::at(gate, round)};
        shared.signals = {Shared::at(behind, round)};
        shared.outputs = {{"logits", to.part(0, kSpace)}};
        shared.set(s);
        const orr_vulkan_buffer where = from.part(128, kSpace - 128);
        run_one(s, in_buffer(pixels, where));
        writer.join();
        EXPECT_EQ(host->value(behind), round);
        expect_logits(std::string(to.mapped, kLogits), want);
    }
}

INSTANTIATE_TEST_SUITE_P(Steps, VulkanShareBudgets, testing::Values(kPlenty, kTight), [](const testing::TestParamInfo<uint64_t>& info) { return info.param == kPlenty ? "OfTheDevice" : "OfBoth"; });

// A state goes on over runs that share and runs that do not.
TEST_F(VulkanShare, StatesGoOn) {
    const Model model = open_on(engine.get(), "llama");
    const Session a = make_session(model), b = make_session(model);
    const auto ids = some_ids(12, kVocabulary);
    auto &from = buffer(), &back = buffer();
    for (size_t i = 0; i < ids.size(); i++) {
        const Tensor want = feed(a, {ids[i]});
        const Tensor one = ids_tensor({ids[i]});
        if (i % 3 == 0) {
            EXPECT_SAME_BITS(feed(b, {ids[i]}), want);
            continue;
        }
        std::memcpy(from.mapped + 64 * i, one.bytes.data(), 4);
        const orr_vulkan_buffer where = from.part(64 * i, 4);
        const orr_named_tensor in = in_buffer(one, where, "input_ids");
        const orr_named_tensor* const ins[] = {&in};
        Shared shared;
        shared.outputs = {{"logits", back.part(0, kSpace)}};
        shared.set(b);
        check(orr_session_run(b.get(), "next", 1, ins, 0, nullptr));
        EXPECT_EQ(std::memcmp(back.mapped, want.bytes.data(), want.bytes.size()), 0) << i;
    }
    EXPECT_EQ(orr_session_position(b.get()), 12);
}

// Nobody looks at them before the run; it fails as one on the processor does, in whatever part of it, and what it wrote to states is not kept.
TEST_F(VulkanShare, IdsThatAreNoRowsAreRefused) {
    for (const uint32_t submission_ms : {0u, 1u}) {
        const Engine cutting = engine_of(*host, 0, {}, submission_ms);
        const Model model = open_on(cutting.get(), "llama");
        const Session s = make_session(model), whole = make_session(model);
        feed(s, {1, 2, 3}), feed(whole, {1, 2, 3});
        auto &from = buffer(), &back = buffer();
        const VkSemaphore behind = timeline();
        uint64_t runs = 0;
        auto ids = some_ids(100, kVocabulary);
        const auto next = [&] {
            const Tensor given = ids_tensor(ids);
            std::memcpy(from.mapped, given.bytes.data(), given.bytes.size());
            const orr_vulkan_buffer where = from.part(0, given.bytes.size());
            const orr_named_tensor in = in_buffer(given, where, "input_ids");
            const orr_named_tensor* const ins[] = {&in};
            Shared shared;
            shared.signals = {Shared::at(behind, ++runs)};
            shared.outputs = {{"logits", back.part(0, kSpace)}};
            shared.set(s);
            check(orr_session_run(s.get(), "next", 1, ins, 0, nullptr));
        };
        const int32_t right = ids[1];
        for (const int32_t wrong : {-1, kVocabulary, INT32_MAX, -7, INT32_MIN}) {
            ids[1] = wrong;
            expect_failure(next, ORR_INVALID_ARGUMENT,
                           {"orr.embedding/1, kernel vulkan", "id " + std::to_string(wrong) + " at index 1, the table has " + std::to_string(kVocabulary) + " rows"});
            EXPECT_EQ(orr_session_position(s.get()), 3);
            EXPECT_EQ(host->value(behind), runs);
        }
        if (submission_ms) {
            EXPECT_GT(Json::parse(describe(s, "plan", "next"))["submissions"].get<int>(), 3);
        }
        EXPECT_SAME_BITS(feed(s, {4, 5}), feed(whole, {4, 5}));  // fewer tokens than the runs that failed wrote
        ids[1] = right;
        next();
        const Tensor want = feed(whole, ids);
        EXPECT_EQ(std::memcmp(back.mapped, want.bytes.data(), want.bytes.size()), 0);
        EXPECT_SAME_BITS(feed(s, {7}), feed(whole, {7}));
    }
}

// A plan is cut by what its own work takes, not by what the host has in the queue before it; and it is cut on a shared queue too.
TEST_F(VulkanShare, TheHostsWorkIsNotTheEnginesTime) {
    const Model model = open_on(engine.get(), "llama");
    const Session s = make_session(model);
    auto &from = buffer(), &to = buffer();
    const VkSemaphore gate = timeline();
    const auto ids = some_ids(20, kVocabulary);
    for (uint64_t round = 1; round <= 3; round++) {
        host->submit_copy(from.buffer, 0, to.buffer, 0, 64, {gate, round}, {});
        std::thread opens([&] {
            std::this_thread::sleep_for(std::chrono::milliseconds(300));
            host->signal(gate, round);
        });
        feed(s, ids);
        opens.join();
    }
    EXPECT_EQ(Json::parse(describe(s, "plan", "next"))["recorded"], 1);
    const Engine strict = engine_of(*host, 0, {}, 1);
    const auto more = some_ids(100, kVocabulary);
    const Session cut = make_session(open_on(strict.get(), "llama"));
    const Tensor want = feed(make_session(model), more);
    Json plan;
    for (int i = 0; i < 5; i++) {
        check(orr_session_reset(cut.get()));
        EXPECT_SAME_BITS(feed(cut, more), want);
        plan = Json::parse(describe(cut, "plan", "next"));
    }
    EXPECT_GT(plan["submissions"].get<int>(), 3);
    EXPECT_LE(plan["recorded"].get<int>(), 3);
}

// Values from the middle of a run stay to its end, beside those that come to the host.
TEST_F(VulkanShare, InnerValuesStay) {
    const Model model = open_on(engine.get(), kModel);
    const Session plain = make_session(model), s = make_session(model);
    const Tensor pixels = picture(9);
    plain_run(plain, pixels);
    std::vector<std::string> names = {"logits"};
    for (const Json& step : description(plain, "plan", "steps"))
        if (const std::string path = step["path"]; !path.empty() && std::find(names.begin(), names.end(), path) == names.end()) names.push_back(path);
    ASSERT_GT(names.size(), 6u);
    std::vector<const char*> wanted;
    for (const auto& n : names) wanted.push_back(n.c_str());
    const orr_named_tensor in = named("pixel_values", pixels);
    const orr_named_tensor* const ins[] = {&in};
    check(orr_session_run(plain.get(), nullptr, 1, ins, static_cast<uint32_t>(wanted.size()), wanted.data()));
    Shared shared;
    for (size_t i = 0; i < names.size(); i += 2) shared.outputs.emplace_back(names[i], std::nullopt);
    shared.set(s);
    check(orr_session_run(s.get(), nullptr, 1, ins, static_cast<uint32_t>(wanted.size()), wanted.data()));
    auto& back = buffer();
    const VkSemaphore copied = timeline();
    for (size_t i = 0; i < names.size(); i++) {
        const orr_named_tensor want = result(plain, wanted[i]), got = result(s, wanted[i]);
        ASSERT_EQ(got.size_bytes, want.size_bytes);
        ASSERT_LE(got.size_bytes, kSpace);
        EXPECT_EQ(got.buffer != nullptr, i % 2 == 0);
        const void* data = got.data;
        if (got.buffer) {
            host->submit_copy(reinterpret_cast<VkBuffer>(got.buffer->handle), got.buffer->offset, back.buffer, 0, got.size_bytes, {}, {copied, i + 1});
            host->wait(copied, i + 1);
            data = back.mapped;
        }
        EXPECT_EQ(std::memcmp(data, want.data, want.size_bytes), 0) << names[i];
    }
}

TEST_F(VulkanShare, WhatDoesNotFitIsTold) {
    const Model model = open_on(engine.get(), kModel);
    const Session s = make_session(model);
    const Tensor pixels = picture(7);
    const uint64_t bytes = pixels.bytes.size();
    const std::string want = plain_run(s, pixels);
    auto& good = buffer();
    auto& no_address = buffer(VulkanHost::kUsage & ~VK_BUFFER_USAGE_SHADER_DEVICE_ADDRESS_BIT);
    auto& no_source = buffer(VulkanHost::kUsage & ~VK_BUFFER_USAGE_TRANSFER_SRC_BIT);
    auto& no_target = buffer(VulkanHost::kUsage & ~VK_BUFFER_USAGE_TRANSFER_DST_BIT);
    const VkSemaphore clock = timeline();
    uint64_t now = 0;
    const auto refused = [&](const orr_named_tensor& in, const std::optional<orr_vulkan_buffer>& out, orr_status status, const std::vector<std::string>& parts, const char* output = "logits") {
        Shared shared;
        shared.signals = {Shared::at(clock, ++now)};
        shared.outputs = {{output, out}};
        shared.set(s);
        expect_failure([&] { run_one(s, in); }, status, parts);
        EXPECT_EQ(host->value(clock), now);  // nobody waits for ever
    };
    const auto input = [&](const orr_vulkan_buffer& where, const std::vector<std::string>& parts) { refused(in_buffer(pixels, where), {}, ORR_INVALID_ARGUMENT, parts); };
    const auto output = [&](const orr_vulkan_buffer& where, const std::vector<std::string>& parts) { refused(named("pixel_values", pixels), where, ORR_INVALID_ARGUMENT, parts); };
    orr_vulkan_buffer foreign = good.part(0, kSpace);
    foreign.header.abi_major = 7;
    refused(in_buffer(pixels, foreign), {}, ORR_ABI_MISMATCH, {"input pixel_values", "orr_vulkan_buffer", "ABI major 7"});
    Shared told;
    told.outputs = {{"logits", foreign}};
    expect_failure([&] { told.set(s); }, ORR_ABI_MISMATCH, {"orr_vulkan_buffer", "ABI major 7"});
    input(no_address.part(0, kSpace), {"input pixel_values", "usage 0x23", "SHADER_DEVICE_ADDRESS", "0x20000"});
    input(no_source.part(0, kSpace), {"input pixel_values", "TRANSFER_SRC", "0x20022"});
    input(good.part(0, bytes - 1), {"pixel_values", std::to_string(bytes - 1), std::to_string(bytes)});
    input(good.part(32, bytes), {"pixel_values", "offset 32", "multiple of 64"});
    input(good.part(kSpace, bytes), {"pixel_values", std::to_string(bytes), std::to_string(kSpace)});
    input(good.part(UINT64_MAX - 63, bytes), {"pixel_values", std::to_string(kSpace)});
    orr_vulkan_buffer lie = good.part(0, bytes);
    lie.address += 64;
    input(lie, {"pixel_values", "address"});
    lie = good.part(0, bytes);
    lie.handle = nullptr;
    input(lie, {"pixel_values", "handle"});
    lie = good.part(0, bytes);
    lie.header.struct_size = 32;
    refused(in_buffer(pixels, lie), {}, ORR_ABI_MISMATCH, {"pixel_values", "struct_size is 32"});
    output(no_target.part(0, kSpace), {"output logits", "usage 0x20021", "TRANSFER_DST"});
    output(good.part(0, kLogits - 1), {"output logits", std::to_string(kLogits - 1), std::to_string(kLogits)});
    output(good.part(kSpace - 4, kLogits), {"output logits", std::to_string(kSpace - 4), std::to_string(kSpace)});
    refused(named("pixel_values", pixels), {}, ORR_NOT_FOUND, {"no_such"}, "no_such");
    orr_named_tensor both = in_buffer(pixels, lie);
    both.data = pixels.bytes.data();
    refused(both, {}, ORR_INVALID_ARGUMENT, {"pixel_values", "data", "buffer"});
    // Types are the model's.
    const Session language = make_session(open_on(engine.get(), "llama"));
    Tensor ids{ORR_TYPE_I64, {1, 2}, std::vector<char>(16)};
    const orr_vulkan_buffer where = good.part(0, 16);
    const orr_named_tensor in = in_buffer(ids, where, "input_ids");
    expect_failure([&] { run_one(language, in); }, ORR_INVALID_ARGUMENT, {"input_ids", "i32", "not converted"});
    // Without a device of the host's nothing is shared.
    const orr_vulkan_share nothing{ORR_HEADER(orr_vulkan_share), 0, 0, nullptr, nullptr, 0, nullptr};
    const Session on_cpu = make_session(open_on(engine.get(), kModel, "cpu"));
    expect_failure([&] { check(orr_session_share(on_cpu.get(), &nothing)); }, ORR_UNSUPPORTED, {"cpu"});
    const orr_vulkan_buffer fine = good.part(0, bytes);
    expect_failure([&] { run_one(on_cpu, in_buffer(pixels, fine)); }, ORR_UNSUPPORTED, {"pixel_values", "cpu"});
    const Engine own = make_engine();
    const Session elsewhere = make_session(open_on(own.get(), kModel));
    expect_failure([&] { check(orr_session_share(elsewhere.get(), &nothing)); }, ORR_UNSUPPORTED, {"no device of the host's"});
    // A malformed share leaves the one before.
    const orr_vulkan_share counted{ORR_HEADER(orr_vulkan_share), 1, 0, nullptr, nullptr, 0, nullptr};
    expect_failure([&] { check(orr_session_share(s.get(), &counted)); }, ORR_INVALID_ARGUMENT, {"waits", "1"});
    check(orr_session_share(s.get(), nullptr));
    EXPECT_TRUE(plain_run(s, pixels) == want);
}

TEST_F(VulkanShare, OutputsInOnePlaceAreRefused) {
    const Session s = make_session(open_on(engine.get(), "llama"));
    auto& to = buffer();
    feed(s, {1});
    const std::string inner = description(s, "plan", "steps", "next")[1]["path"];
    Shared shared;
    shared.outputs = {{"logits", to.part(0, kSpace)}, {inner, to.part(100, kSpace - 100)}};
    shared.set(s);
    const Tensor ids = ids_tensor({1, 2, 3});
    const orr_named_tensor in = named("input_ids", ids);
    const orr_named_tensor* const ins[] = {&in};
    const char* const wanted[] = {"logits", inner.c_str()};
    expect_failure([&] { check(orr_session_run(s.get(), "next", 1, ins, 2, wanted)); }, ORR_INVALID_ARGUMENT, {"logits", inner, "overlap"});
}

// However a run ends, its signals come.
TEST_F(VulkanShare, SignalsComeFromRunsThatEndEarly) {
    const Model model = open_on(engine.get(), kModel);
    const Tensor pixels = picture(8);
    const std::string want = plain_run(make_session(model), pixels);
    const VkSemaphore before = timeline(), behind = timeline();
    std::atomic<bool> go{true};
    const auto session = [&] {
        return make_session(model, [&](orr_session_options& o) {
            o.progress = [](void* user, double, const char*) { return static_cast<std::atomic<bool>*>(user)->load(); };
            o.progress_user = &go;
        });
    };
    uint64_t now = 0;
    const auto share = [&](const Session& s) {
        now++;
        Shared shared;
        shared.waits = {Shared::at(before, now)};
        shared.signals = {Shared::at(behind, now)};
        shared.outputs = {{"logits", {}}};
        shared.set(s);
    };
    // Cancelled while its plan is made.
    {
        const Session s = session();
        share(s);
        go = false;
        std::thread later([&] {
            std::this_thread::sleep_for(std::chrono::milliseconds(20));
            EXPECT_LT(host->value(behind), now);
            host->signal(before, now);
        });
        expect_failure([&] { run_one(s, named("pixel_values", pixels)); }, ORR_CANCELLED, {});
        later.join();
        EXPECT_EQ(host->value(behind), now);
        go = true;
        EXPECT_TRUE(plain_run(s, pixels) == want);
    }
    // Begun and cancelled; begun and released.
    for (const bool release : {false, true}) {
        Session s = session();
        share(s);
        host->signal(before, now);
        const orr_named_tensor in = named("pixel_values", pixels);
        const orr_named_tensor* const ins[] = {&in};
        check(orr_session_begin(s.get(), nullptr, 1, ins, 0, nullptr));
        EXPECT_LT(host->value(behind), now);
        if (release) {
            s.reset();
        } else {
            orr_session_cancel(s.get());
            bool done = false;
            EXPECT_EQ(orr_session_step(s.get(), 0, &done), ORR_CANCELLED);
            EXPECT_TRUE(plain_run(s, pixels) == want);
        }
        EXPECT_EQ(host->value(behind), now);
    }
    // A fork shares nothing of what its parent's next run does.
    const Session s = session();
    share(s);
    const Session child = fork(s);
    EXPECT_TRUE(plain_run(child, pixels) == want);
    EXPECT_LT(host->value(behind), now);
    host->signal(before, now);
    run_one(s, named("pixel_values", pixels));
    EXPECT_EQ(host->value(behind), now);
}

// A counter never goes back: such a run is refused, and what it would have signalled is left alone.
TEST_F(VulkanShare, SignalsRaiseTheirSemaphores) {
    const Model model = open_on(engine.get(), kModel);
    const Session s = make_session(model);
    const Tensor pixels = picture(9);
    const std::string want = plain_run(s, pixels);
    const VkSemaphore clock = timeline(), other = timeline();
    host->signal(clock, 5);
    const auto refused = [&](const std::vector<orr_vulkan_semaphore>& waits, const std::vector<orr_vulkan_semaphore>& signals, const std::vector<std::string>& parts) {
        const int before = host->submissions;
        Shared shared;
        shared.waits = waits;
        shared.signals = signals;
        shared.set(s);
        expect_failure([&] { run_one(s, named("pixel_values", pixels)); }, ORR_INVALID_ARGUMENT, parts);
        EXPECT_EQ(host->submissions, before);
        EXPECT_EQ(host->value(clock), 5u);
        EXPECT_TRUE(plain_run(s, pixels) == want);
    };
    for (const uint64_t value : {0, 3, 5}) refused({}, {Shared::at(clock, value)}, {"signals[0]", "value " + std::to_string(value), "stands at 5"});
    refused({Shared::at(clock, 5)}, {Shared::at(clock, 0)}, {"value 0", "stands at 5"});
    refused({Shared::at(clock, 9)}, {Shared::at(clock, 9)}, {"value 9", "waits for its 9"});
    refused({Shared::at(clock, 9)}, {Shared::at(clock, 7)}, {"value 7", "waits for its 9"});
    // Nobody waits for ever for the other one.
    refused({}, {Shared::at(other, 1), Shared::at(clock, 4)}, {"signals[1]", "value 4", "stands at 5"});
    EXPECT_EQ(host->value(other), 1u);
    const VkSemaphore twice = timeline();
    const auto both = [&](uint64_t a, uint64_t b) { refused({}, {Shared::at(twice, a), Shared::at(twice, b)}, {"signals[0]", "signals[1]", std::to_string(a), std::to_string(b)}); };
    both(2, 3);
    both(9, 8);
    Shared good;
    good.waits = {Shared::at(clock, 5)};
    good.signals = {Shared::at(clock, 6)};
    good.set(s);
    run_one(s, named("pixel_values", pixels));
    EXPECT_EQ(host->value(clock), 6u);
}

}  // namespace
}  // namespace engine_tests
