// Layers side by side run at the same time: the same bits as one after the other, fewer barriers on devices, and failures, cancels and executors
// of any kind.
#include <chrono>
#include <cstring>

#include "orrery/ext/taps.h"
#include "orrery/plugin.hpp"
#include "support.hpp"

namespace engine_tests {
namespace {

void set_plan(const Session& session, const std::string& plan, const std::string& prefix = "") { check(orr_session_set_control(session.get(), (prefix + "layer_plan").c_str(), Json(plan).dump().c_str())); }

orr_tap tap_of(const char* path, const char* kind, double factor = 1) {
    orr_tap tap{};
    tap.header = ORR_HEADER(orr_tap);
    tap.path = path;
    tap.kind = kind;
    tap.factor = factor;
    return tap;
}

Json steps_at_once(const Session& session, const char* entry = nullptr) {
    Json some = Json::array();
    for (const Json& step : description(session, "plan", "steps", entry))
        if (step.contains("at_once")) some.push_back(step);
    return some;
}

using Case = std::tuple<const char*, const char*, const char*>;  // model, stack, plan
class SideBySide : public testing::TestWithParam<Case> {
  protected:
    const char* model() const { return std::get<0>(GetParam()); }
    Session session(const Model& model, uint32_t threads) const {
        Session s = make_session(model, [&](orr_session_options& o) { o.threads = threads, o.batch = inputs_.begin()->second.shape[0]; });
        set_plan(s, std::get<2>(GetParam()), std::get<1>(GetParam()));
        return s;
    }
    Tensors inputs_ = read_tensors(golden_folder(model()) + "/inputs.safetensors");
};
INSTANTIATE_TEST_SUITE_P(Models, SideBySide,
                         testing::Values(Case("llama", "", "0,0|1"), Case("llama", "", "1|0|0|1|0,1"), Case("gemma3", "", "0|1,0"), Case("gpt2", "", "0|1"), Case("mamba", "", "0|1,1|0"), Case("qwen3_moe", "", "0|1"),
                                         Case("bert", "", "1|0"), Case("vit_classifier", "", "0|1|0"), Case("swin_classifier", "", "0,1|1,2,3"), Case("clip_text", "text.", "0|1"), Case("whisper", "encoder.", "0|1"),
                                         Case("whisper", "decoder.", "0|1")),
                         [](const auto& info) { return std::string(std::get<0>(info.param)) + "_" + std::to_string(info.index); });

TEST_P(SideBySide, HasTheBitsOfOneAfterTheOther) {
    const Model model = open_golden(this->model());
    const Session alone = session(model, 1);
    const Tensors want = run(alone, inputs_);
    EXPECT_TRUE(steps_at_once(alone).empty());
    for (const uint32_t threads : {2u, 3u, 4u}) {
        const Session s = session(model, threads);
        for (int round = 0; round < 5; round++) {
            const Tensors got = run(s, inputs_);
            for (const auto& [name, tensor] : want) EXPECT_SAME_BITS(got.at(name), tensor) << name << ", " << threads << " threads";
            check(orr_session_reset(s.get()));
        }
        EXPECT_GE(steps_at_once(s).size(), 8u);
    }
}

TEST_P(SideBySide, IsOnDevicesWhatItIsOnTheProcessor) {
    if (!usable("vulkan")) GTEST_SKIP() << "no Vulkan device";
    const Tensors want = run(session(open_golden(this->model()), 2), inputs_);
    const Session there = session(open_golden(this->model(), nullptr, "vulkan"), 2);
    const Tensors got = run(there, inputs_);
    for (const auto& [name, tensor] : want) EXPECT_LE(difference(got.at(name), tensor), 1e-4) << name;
    EXPECT_GE(steps_at_once(there).size(), 8u);
}

constexpr int32_t kVocabulary = 41;

TEST(Concurrent, DecodesAndForks) {
    const Model model = open_golden("llama");
    const auto ids = some_ids(24, kVocabulary);
    const auto story = [&](uint32_t threads) {
        const Session s = make_session(model, [&](orr_session_options& o) { o.threads = threads, o.numerics = ORR_NUMERICS_DEFAULT; });
        set_plan(s, "0,1|0");
        std::vector<Tensor> logits = {feed(s, part(ids, 0, 10))};
        for (size_t i = 10; i < 20; i++) logits.push_back(feed(s, {ids[i]}));
        logits.push_back(feed(fork(s), part(ids, 20, 24)));
        return logits;
    };
    const std::vector<Tensor> want = story(1), got = story(2);
    for (size_t i = 0; i < want.size(); i++) EXPECT_SAME_BITS(got[i], want[i]) << i;
}

// Layers one after the other have twice the depth of the same layers side by side, and so twice the barriers.
TEST(Concurrent, TakesFewerBarriers) {
    if (!usable("vulkan")) GTEST_SKIP() << "no Vulkan device";
    const Model model = open_golden("llama", nullptr, "vulkan");
    const auto barriers = [&](const char* plan) {
        const Session s = make_session(model);
        set_plan(s, plan);
        feed(s, {3, 1, 4});
        const Json made = Json::parse(describe(s, "plan", "next"));
        return made["barriers"].get<double>() + made["submissions"].get<double>();  // each of which ends with one
    };
    const double none = barriers("0"), row = barriers("0,1,0,1"), beside = barriers("0|1|0|1");
    EXPECT_GT(none, 5);
    EXPECT_GT(row, 3 * none);
    EXPECT_LE(beside, none + 8);  // heads of this width are turned in a dispatch before attention, with a barrier of its own for each layer
}

// What may be left out keeps its order.
TEST(Concurrent, LeavesRegionsAlone) {
    const Model model = open_golden("llama");
    const auto ids = some_ids(9, kVocabulary);
    const auto logits = [&](uint32_t threads, const char* similarity) {
        const Session s = make_session(model, [&](orr_session_options& o) { o.threads = threads; });
        set_plan(s, "0,0|1,1");
        check(orr_session_set_control(s.get(), "exit_similarity", similarity));
        return feed(s, ids);
    };
    for (const char* similarity : {"0.1", "0.999"}) EXPECT_SAME_BITS(logits(2, similarity), logits(1, similarity));
}

TEST(Concurrent, WithTapsInBranches) {
    const Model model = open_golden("llama");
    const auto ids = some_ids(9, kVocabulary);
    const auto outputs = [&](uint32_t threads) {
        const Session s = make_session(model, [&](orr_session_options& o) { o.threads = threads; });
        set_plan(s, "0,0|1");
        const orr_tap scale = tap_of("layers.1.mixer.output", "scale", 0.5), read = tap_of("layers.*.output", "read");
        const orr_tap* const taps[] = {&scale, &read};
        check(orr_session_set_taps(s.get(), 2, taps));
        return run(s, {{"input_ids", ids_tensor(ids)}});
    };
    const Tensors want = outputs(1), got = outputs(3);
    EXPECT_GT(want.size(), 3u);
    for (const auto& [name, tensor] : want) EXPECT_SAME_BITS(got.at(name), tensor) << name;
}

// ---- y = x, of which two come together; a plugin linked into the host

struct Meeting {
    std::mutex mutex;
    std::condition_variable changed;
    int inside = 0, most = 0, runs = 0;
    bool wait = false, fail = false, throws = false;
    orr_session* cancel = nullptr;
} meeting;

orr_status meet(const orr_run* run) {
    {
        std::unique_lock lock(meeting.mutex);
        meeting.runs++;
        if (meeting.cancel) orr_session_cancel(meeting.cancel);
        meeting.most = std::max(meeting.most, ++meeting.inside);
        meeting.changed.notify_all();
        if (meeting.wait) meeting.changed.wait_for(lock, std::chrono::seconds(20), [] { return meeting.most >= 2; });
        meeting.inside--;
        if (meeting.fail) return run->host->fail(run->host, ORR_CORRUPT, "nobody is to meet here");
    }
    const bool throws = meeting.throws;
    std::memcpy(run->outputs[0]->data, run->inputs[0]->data, run->inputs[0]->size_bytes);
    run->parallel_for(
        run, 4, [](void* arg, int64_t chunk, uint32_t) { if (*static_cast<const bool*>(arg) && chunk == 2) throw std::runtime_error("chunk 2 met nobody"); }, const_cast<bool*>(&throws));
    return ORR_OK;
}
const orr_port kX = {ORR_HEADER(orr_port), "x", 0, "f32", "any shape", nullptr}, kY = {ORR_HEADER(orr_port), "y", 0, "f32", "as x", nullptr};
const orr_port* const kIns[] = {&kX};
const orr_port* const kOuts[] = {&kY};
const orr_kernel kMeet = {ORR_HEADER(orr_kernel), "meet", "cpu", ORR_KERNEL_REFERENCE, nullptr, nullptr, meet, nullptr};
const orr_kernel* const kKernels[] = {&kMeet};
const orr_operator kOperator = {ORR_HEADER(orr_operator), "test.meet/1", "y = x", 0, 1, 1, 0, 1, kIns, kOuts, nullptr, kKernels,
                                [](const orr_infer* i) {
                                    *i->outputs[0] = *i->inputs[0];
                                    return orr_status{ORR_OK};
                                },
                                nullptr, nullptr, nullptr, nullptr};
const orr_operator* const kOperatorItems[] = {&kOperator};
const orr_operators kOperators = {ORR_HEADER(orr_operators), 1, kOperatorItems};
const orr_tap_kind kKind = {ORR_HEADER(orr_tap_kind), "meet", "y = x", ORR_TAP_EDIT, nullptr,
                            [](orr_builder* b, const orr_tap_point* p, orr_value* outs) { outs[0] = orrery::Graph(b).op("test.meet/1", {orrery::Value{p->value}}).id; }};
const orr_tap_kind* const kKindItems[] = {&kKind};
const orr_taps kTaps = {ORR_HEADER(orr_taps), 1, kKindItems};
const orr_plugin kPlugin = {ORR_HEADER(orr_plugin), "test.meeting", "1.0", "MIT", ORR_SANITIZER, [](const char* id) -> const void* {
                                return std::string_view(id) == ORR_EXT_TAPS ? static_cast<const void*>(&kTaps) : std::string_view(id) == ORR_EXT_OPERATORS ? &kOperators : nullptr;
                            }};

class Meetings : public testing::Test {
  protected:
    void SetUp() override {
        meeting.inside = meeting.most = meeting.runs = 0;
        meeting.wait = meeting.fail = meeting.throws = false;
        meeting.cancel = nullptr;
    }
    void open(const ChangeEngine& change = {}) {
        engine_ = make_engine(change);
        check(orr_engine_add_plugin(engine_.get(), [](const orr_host*) { return &kPlugin; }));
        model_ = open_golden("llama", engine_.get());
    }
    Session session(uint32_t threads, const char* plan = "0,0|1") const {
        Session s = make_session(model_, [&](orr_session_options& o) { o.threads = threads; });
        set_plan(s, plan);
        const orr_tap tap = tap_of("layers.*.mixer.output", "meet");
        const orr_tap* const taps[] = {&tap};
        check(orr_session_set_taps(s.get(), 1, taps));
        return s;
    }
    Engine engine_;
    Model model_;
    std::vector<int32_t> ids_ = some_ids(5, kVocabulary);
};

// Each waits until the other is there too.
TEST_F(Meetings, HappenAtTheSameTime) {
    open();
    const Tensor want = feed(session(1, "0|1"), ids_);
    EXPECT_EQ(meeting.most, 1);
    meeting.wait = true;
    const Session s = session(2, "0|1");
    EXPECT_SAME_BITS(feed(s, ids_), want);
    EXPECT_EQ(meeting.most, 2);
}

TEST_F(Meetings, MayNotHappenWithoutThreads) {
    static std::vector<std::pair<void (*)(void*), void*>> kept;
    kept.clear();
    const orr_executor never = {ORR_HEADER(orr_executor), nullptr, 3, [](void*, void (*job)(void*), void* arg) { kept.emplace_back(job, arg); }};
    const orr_executor at_once = {ORR_HEADER(orr_executor), nullptr, 3, [](void*, void (*job)(void*), void* arg) { job(arg); }};
    Tensor want;
    for (const orr_executor* executor : {static_cast<const orr_executor*>(nullptr), &never, &at_once}) {
        open([&](orr_engine_options& o) { o.executor = executor; });
        const Tensor got = feed(session(executor ? 4 : 1), ids_);
        if (executor) {
            EXPECT_SAME_BITS(got, want);
        }
        want = got;
        EXPECT_EQ(meeting.most, 1);
    }
    model_.reset();
    engine_.reset();
    for (const auto& [job, arg] : kept) job(arg);
}

TEST_F(Meetings, FailWithTheirText) {
    open();
    const Session s = session(2);
    const Tensor want = feed(s, ids_);
    check(orr_session_reset(s.get()));
    meeting.fail = true;
    expect_failure([&] { feed(s, ids_); }, ORR_CORRUPT, {"test.meet/1, kernel meet", "nobody is to meet here"});
    meeting.fail = false;
    meeting.throws = true;
    expect_failure([&] { feed(s, ids_); }, ORR_INTERNAL, {"test.meet/1, kernel meet", "chunk 2 met nobody"});
    meeting.throws = false;
    EXPECT_SAME_BITS(feed(s, ids_), want);
}

TEST_F(Meetings, EndWithACancel) {
    open();
    const Session s = session(2);
    const Tensor want = feed(s, ids_);
    check(orr_session_reset(s.get()));
    const int before = meeting.runs;
    meeting.cancel = s.get();
    expect_failure([&] { feed(s, ids_); }, ORR_CANCELLED, {"cancelled"});
    EXPECT_LT(meeting.runs, before + 3);
    meeting.cancel = nullptr;
    EXPECT_SAME_BITS(feed(s, ids_), want);
}

}  // namespace
}  // namespace engine_tests
