// Taps and controls: what PyTorch hooks give on the same models (golden/<case>/steering.json), nothing left where there are none, and
// sequences whose layers come and go.
#include "orrery/ext/taps.h"
#include "orrery/plugin.hpp"
#include "support.hpp"

namespace engine_tests {
namespace {

constexpr double kTolerance = 1e-4;  // of the expected value's standard deviation

struct GivenTap {
    std::string path, kind = "read";
    double factor = 1;
    int64_t count = 0, first_position = 0, end_position = 0, first_run = 0, end_run = 0;
    const Tensor* operand = nullptr;
};

void set_taps(const Session& session, const std::vector<GivenTap>& given) {
    std::deque<orr_named_tensor> operands;
    std::deque<orr_tap> taps;
    std::vector<const orr_tap*> pointers;
    for (const GivenTap& g : given) {
        orr_tap& t = taps.emplace_back();
        t = {ORR_HEADER(orr_tap), g.path.c_str(), g.kind.c_str(), g.factor, g.count, nullptr, g.first_position, g.end_position, g.first_run, g.end_run};
        if (g.operand) t.operand = &operands.emplace_back(named("operand", *g.operand));
        pointers.push_back(&t);
    }
    check(orr_session_set_taps(session.get(), static_cast<uint32_t>(pointers.size()), pointers.data()));
}

void set_control(const Session& session, const char* name, const char* json) { check(orr_session_set_control(session.get(), name, json)); }

// All of it but how a device's steps were cut into submissions, which follows how fast it was.
std::string plan_text(const Session& session) {
    Json plan = Json::parse(describe(session, "plan"));
    for (const char* cut : {"submissions", "barriers"}) plan.erase(cut);
    return plan.dump();
}

class Steering : public GoldenOnDevice {};

TEST_P(Steering, GivesWhatHooksGive) {
    const Json steps = Json::parse(read_file(folder_ + "/steering.json"));
    const Tensors values = read_tensors(folder_ + "/steering.safetensors");
    ASSERT_FALSE(steps.empty());
    for (const Json& step : steps) {
        const Session s = session();
        std::vector<GivenTap> taps;
        for (const Json& t : step["taps"]) {
            taps.push_back({t["path"], t["kind"], t.value("factor", 1.0), t.value("count", 0), t.value("first", 0), t.value("end", 0)});
            if (t.contains("operand")) taps.back().operand = &values.at(t["operand"]);
        }
        set_taps(s, taps);
        for (const auto& [name, value] : step["controls"].items()) set_control(s, name.c_str(), value.dump().c_str());
        const Tensors got = run(s, inputs_);
        for (const auto& [name, key] : step["outputs"].items()) {
            ASSERT_TRUE(got.contains(name)) << step["name"] << " gives no " << name;
            EXPECT_LE(difference(got.at(name), values.at(key)), kTolerance) << step["name"] << ": " << name;
        }
    }
}

TEST_P(Steering, NothingIsLeftOfTapsThatAreTakenOff) {
    const Session plain = session(), tapped = session();
    const Tensors want = run(plain, inputs_);
    set_taps(tapped, {{"layers.*.output"}, {"layers.0.mixer.output", "zero"}});
    EXPECT_GT(run(tapped, inputs_).size(), want.size());
    EXPECT_NE(plan_text(tapped), plan_text(plain));
    set_taps(tapped, {});
    check(orr_session_reset(tapped.get()));
    const Tensors got = run(tapped, inputs_);
    ASSERT_EQ(got.size(), want.size());
    for (const auto& [name, tensor] : want) EXPECT_EQ(got.at(name).bytes, tensor.bytes) << name;
    EXPECT_EQ(plan_text(tapped), plan_text(plain));
}

TEST_P(Steering, NeutralControlsGiveThePlainModel) {
    const Tensors want = run(session(), inputs_);
    orr_text* text = nullptr;
    check(orr_model_describe(model_.get(), "controls", nullptr, &text));
    const Json controls = Json::parse(orr_text_data(text));
    orr_text_release(text);
    ASSERT_FALSE(controls.empty());
    const Session s = session();
    for (const Json& control : controls) {
        set_control(s, control["name"].get<std::string>().c_str(), control["default"].dump().c_str());
        check(orr_session_reset(s.get()));
        const Tensors got = run(s, inputs_);
        for (const auto& [name, tensor] : want) EXPECT_EQ(got.at(name).bytes, tensor.bytes) << control["name"] << ": " << name;
    }
    // The neutral plan in other words, another, and a plan that was taken back.
    std::string rest;
    for (int64_t i = 2; i <= controls[0]["maximum"]; i++) rest += "," + std::to_string(i);
    for (const std::string& value : {"\"0,1" + rest + "\"", "\"1,0" + rest + "\"", std::string()}) {
        set_control(s, "layer_plan", value.empty() ? nullptr : value.c_str());
        check(orr_session_reset(s.get()));
        const Tensors got = run(s, inputs_);
        for (const auto& [name, tensor] : want)
            if (value.empty() || value[1] == '0')
                EXPECT_EQ(got.at(name).bytes, tensor.bytes) << name;
            else
                EXPECT_NE(got.at(name).bytes, tensor.bytes) << name;
    }
}

INSTANTIATE_TEST_SUITE_P(Cases, Steering, testing::Combine(testing::Values("llama", "gpt2", "mamba", "bert", "vit_classifier", "swin_classifier"), testing::Values("cpu", "vulkan")),
                         [](const auto& info) { return std::string(std::get<0>(info.param)) + "_" + std::get<1>(info.param); });

class SteeredDecoding : public testing::TestWithParam<const char*> {
  protected:
    void SetUp() override {
        if (std::string(GetParam()) == "vulkan" && kThreadSanitizer) GTEST_SKIP() << "drivers are not instrumented";
        if (std::string(GetParam()) == "vulkan" && !has_vulkan()) GTEST_SKIP() << "no Vulkan device";
        model_ = open_golden("llama", nullptr, GetParam());
    }
    Model model_;
    const std::vector<int32_t> ids_ = some_ids(12, 41);
};
INSTANTIATE_TEST_SUITE_P(Devices, SteeredDecoding, testing::Values("cpu", "vulkan"), [](const auto& info) { return std::string(info.param); });

TEST_P(SteeredDecoding, PositionsMeanTheSameInAnyNumberOfRuns) {
    const std::vector<GivenTap> taps = {{"layers.0.output", "scale", -2, 0, 3, 9}, {"layers.1.mixer.output", "zero", 1, 0, 0, 2}};
    const Session whole = make_session(model_), stepped = make_session(model_), plain = make_session(model_);
    set_taps(whole, taps);
    set_taps(stepped, taps);
    const Tensor want = feed(whole, ids_);
    Tensor got;
    for (const int32_t id : ids_) got = feed(stepped, {id});
    EXPECT_LE(difference(got, want), kTolerance);
    EXPECT_GT(difference(feed(plain, ids_), want), 0.01);
}

TEST_P(SteeredDecoding, RunsAreCountedFromWhereTheTapsWereSet) {
    const Session s = make_session(model_), plain = make_session(model_);
    feed(s, part(ids_, 0, 4));
    feed(plain, part(ids_, 0, 4));
    set_taps(s, {{"logits", "zero", 1, 0, 0, 0, 1, 2}, {"layers.0.output", "norm", 1, 0, 0, 0, 2, 0}});
    const Tensor want0 = feed(plain, {ids_[4]}), want1 = feed(plain, {ids_[5]}), want2 = feed(plain, {ids_[6]});
    EXPECT_EQ(feed(s, {ids_[4]}).bytes, want0.bytes);
    const auto zeroed = feed(s, {ids_[5]}).floats();
    EXPECT_TRUE(std::all_of(zeroed.begin(), zeroed.end(), [](float x) { return x == 0; }));
    const Tensors last = run(s, {{"input_ids", ids_tensor({ids_[6]})}}, "next", {"logits"});  // what is read comes beside what is asked for
    EXPECT_EQ(last.at("logits").bytes, want2.bytes);
    EXPECT_EQ(last.at("layers.0.output:norm").shape, (std::vector<int64_t>{1, 1}));
}

TEST_P(SteeredDecoding, WhatWasThereCanBeReadBesideAnEdit) {
    const Session s = make_session(model_), plain = make_session(model_);
    set_taps(s, {{"layers.0.output", "scale", 3}});
    const Tensors got = run(s, {{"input_ids", ids_tensor(ids_)}}, "forward", {"layers.0.output", "layers.0.output.untapped"});
    const Tensors want = run(plain, {{"input_ids", ids_tensor(ids_)}}, "forward", {"layers.0.output"});
    EXPECT_LE(difference(got.at("layers.0.output.untapped"), want.at("layers.0.output")), kTolerance);
    set_taps(s, {{"layers.0.output", "scale", 3}, {"layers.0.output.untapped"}});
    check(orr_session_reset(s.get()));
    EXPECT_EQ(run(s, {{"input_ids", ids_tensor(ids_)}}).at("layers.0.output.untapped").bytes, got.at("layers.0.output.untapped").bytes);
    const auto edited = got.at("layers.0.output").floats(), before = got.at("layers.0.output.untapped").floats();
    for (size_t i = 0; i < edited.size(); i++) EXPECT_FLOAT_EQ(edited[i], 3 * before[i]);
}

TEST_P(SteeredDecoding, NotANumberIsEditedAway) {
    const Session s = make_session(model_);
    const float nan = NAN;
    Tensor operand{ORR_TYPE_F32, {1}, std::vector<char>(sizeof nan)};
    std::memcpy(operand.bytes.data(), &nan, sizeof nan);
    set_taps(s, {{"layers.0.output", "set", 1, 0, 0, 0, 0, 0, &operand}, {"layers.0.output", "zero"}});
    for (const float x : feed(s, ids_).floats()) EXPECT_TRUE(std::isfinite(x));
}

TEST_P(SteeredDecoding, ALayerLeftOutMissesTokens) {
    const Session s = make_session(model_);
    feed(s, part(ids_, 0, 3));
    set_control(s, "layer_plan", "0");
    const Tensor shorter = feed(s, part(ids_, 3, 6));
    set_control(s, "layer_plan", nullptr);
    expect_failure([&] { feed(s, {ids_[6]}); }, ORR_INVALID_ARGUMENT, {"layers.1.mixer.", "has seen 3 tokens", "stands at 6"});
    const Session forked = fork(s);
    check(orr_session_rollback(forked.get(), 3));  // there both layers know everything
    const Session plain = make_session(model_);
    feed(plain, part(ids_, 0, 3));
    EXPECT_EQ(feed(forked, part(ids_, 3, 6)).bytes, feed(plain, part(ids_, 3, 6)).bytes);
    set_control(s, "layer_plan", "0");
    feed(s, {ids_[6]});  // goes on without it
    check(orr_session_reset(s.get()));
    set_control(s, "layer_plan", nullptr);
    check(orr_session_reset(plain.get()));
    EXPECT_EQ(feed(s, ids_).bytes, feed(plain, ids_).bytes);
}

TEST_P(SteeredDecoding, AMixerThatIsPassedByKeepsNoState) {
    const Session s = make_session(model_), plain = make_session(model_);
    set_control(s, "bypass", "\"0.mixer\"");
    const Tensor got = feed(s, ids_);
    for (const Json& state : description(s, "states", "states")) EXPECT_EQ(state["name"].get<std::string>().find("layers.0."), std::string::npos);
    // The same as a mixer that gives nothing.
    set_taps(plain, {{"layers.0.mixer.output", "zero"}});
    EXPECT_LE(difference(got, feed(plain, ids_)), kTolerance);
}

TEST_P(SteeredDecoding, LayersThatRunAgainHaveStatesOfTheirOwn) {
    const Session whole = make_session(model_), stepped = make_session(model_);
    for (const Session* s : {&whole, &stepped}) set_control(*s, "layer_plan", "\"0*2,1|0\"");
    const Tensor want = feed(whole, ids_);
    Tensor got;
    for (const int32_t id : ids_) got = feed(stepped, {id});
    EXPECT_LE(difference(got, want), kTolerance);
    const Session forked = fork(stepped);
    const std::string file = scratch("steered.state");
    check(orr_session_save(stepped.get(), file.c_str()));
    const Tensor next = feed(stepped, {7});
    EXPECT_EQ(feed(forked, {7}).bytes, next.bytes);
    const Session loaded = make_session(model_);
    check(orr_session_load(loaded.get(), file.c_str()));  // states that the plain model lacks are there when the plan wants them
    set_control(loaded, "layer_plan", "\"0*2,1|0\"");
    EXPECT_EQ(feed(loaded, {7}).bytes, next.bytes);
}

// What a session gives next, or why it gives nothing.
std::string outcome(const Session& s, const std::vector<int32_t>& ids) {
    try {
        const Tensor t = feed(s, ids);
        return {t.bytes.begin(), t.bytes.end()};
    } catch (const Failure& f) {
        return "failed: " + std::to_string(f.status) + f.what();
    }
}

class SavedAmidControls : public testing::TestWithParam<std::tuple<const char*, const char*, int>> {
  protected:
    void SetUp() override {
        if (!usable(std::get<1>(GetParam()))) GTEST_SKIP() << "no Vulkan device";
    }
};
INSTANTIATE_TEST_SUITE_P(Models, SavedAmidControls, testing::Combine(testing::Values("llama", "mamba", "gpt2", "gemma3"), testing::Values("cpu", "vulkan"), testing::Range(0, 3)), [](const auto& info) {
    return std::string(std::get<0>(info.param)) + "_" + std::get<1>(info.param) + "_" + std::to_string(std::get<2>(info.param));
});

// A session that is never saved, and three that go through a file at every turn: into themselves, into a fresh one with the same controls, and into a plain one
// whose controls are set afterwards.
TEST_P(SavedAmidControls, GoesOnAsIfItHadNotBeen) {
    using Setting = std::pair<const char*, const char*>;
    const Setting settings[] = {{"layer_plan", "\"0-1\""}, {"layer_plan", "\"0\""}, {"layer_plan", "\"0,1,1\""}, {"layer_plan", "\"1*2,0\""}, {"layer_plan", nullptr},
                                {"bypass", "\"1.mixer\""}, {"bypass", "\"0.mixer\""}, {"bypass", nullptr}, {"layer_plan", nullptr}};
    const Model model = open_golden(std::get<0>(GetParam()), nullptr, std::get<1>(GetParam()));
    std::mt19937 random(static_cast<uint32_t>(7 + std::get<2>(GetParam())));
    const std::string file = scratch("walk");
    const Session never = make_session(model);
    Session itself = make_session(model), fresh = make_session(model), plain = make_session(model);
    std::map<std::string, const char*> set;
    int failed = 0, good = 0;
    for (int step = 0; step < 40; step++) {
        std::string what;
        const auto all = [&](const std::function<void(const Session&)>& fn) {
            for (const Session* s : {&never, const_cast<const Session*>(&itself), const_cast<const Session*>(&fresh), const_cast<const Session*>(&plain)}) fn(*s);
        };
        if (const auto turn = random() % 8; turn < 3) {
            const auto [name, value] = settings[random() % std::size(settings)];
            set[name] = value;
            all([&, n = name, v = value](const Session& s) { set_control(s, n, v); });
        } else if (turn == 3) {
            all([&](const Session& s) { check(orr_session_reset(s.get())); });
        } else if (turn == 4) {
            all([&](const Session& s) { check(orr_session_trim(s.get())); });
        } else {
            const std::vector<int32_t> ids = some_ids(1 + random() % 4, 41, static_cast<uint64_t>(step));
            const std::string want = outcome(never, ids);
            (want.starts_with("failed") ? failed : good)++;
            for (const Session* s : {&itself, &fresh, &plain}) ASSERT_EQ(outcome(*s, ids), want) << "step " << step << ", " << (s == &itself ? "itself" : s == &fresh ? "fresh" : "plain");
        }
        check(orr_session_save(itself.get(), file.c_str()));
        check(orr_session_load(itself.get(), file.c_str()));
        for (Session* s : {&fresh, &plain}) {
            check(orr_session_save(s->get(), file.c_str()));
            *s = make_session(model);
            if (s == &plain) check(orr_session_load(s->get(), file.c_str()));
            for (const auto& [name, value] : set) set_control(*s, name.c_str(), value);
            if (s == &fresh) check(orr_session_load(s->get(), file.c_str()));
        }
        for (const Session* s : {&itself, &fresh, &plain}) ASSERT_EQ(orr_session_position(s->get()), orr_session_position(never.get()));
    }
    EXPECT_GT(good, 3);
    EXPECT_GT(failed, 0);
}

// What a plan of before left behind, empty, is not in the file.
TEST_P(SteeredDecoding, StatesThatHoldNothingAreNotSaved) {
    const Session s = make_session(model_), plain = make_session(model_);
    set_control(s, "layer_plan", "\"0,1,1\"");
    feed(s, ids_);
    check(orr_session_reset(s.get()));
    set_control(s, "layer_plan", nullptr);
    feed(s, ids_);
    feed(plain, ids_);
    const std::string after = scratch("after"), never = scratch("never");
    check(orr_session_save(s.get(), after.c_str()));
    check(orr_session_save(plain.get(), never.c_str()));
    EXPECT_TRUE(read_file(after) == read_file(never));
}

TEST_P(SteeredDecoding, AverageOfOneLayerWithItselfIsThatLayer) {
    const Session s = make_session(model_), plain = make_session(model_);
    set_control(s, "layer_plan", "\"0,1|1\"");
    EXPECT_LE(difference(feed(s, ids_), feed(plain, ids_)), 1e-6);
}

TEST_P(SteeredDecoding, OperandsWithNotANumberAreTheSame) {
    const Session a = make_session(model_), b = make_session(model_);
    Tensor steering{ORR_TYPE_F32, {24}, std::vector<char>(96)};
    const float none = NAN;
    std::memcpy(steering.bytes.data(), &none, sizeof none);
    for (const Session* s : {&a, &b}) set_taps(*s, {{"layers.0.output", "add", 1, 0, 0, 0, 0, 0, &steering}});
    Tensor ids{ORR_TYPE_I32, {2, 1}, std::vector<char>(8)};
    const orr_named_tensor input = named("input_ids", ids);
    const orr_named_tensor* inputs[] = {&input};
    orr_session* sessions[] = {a.get(), b.get()};
    check(orr_session_run_batch(2, sessions, "next", 1, inputs, 0, nullptr));
}

TEST_P(SteeredDecoding, ABatchOfSessionsHasOneSetOfTaps) {
    const Session a = make_session(model_), b = make_session(model_), alone = make_session(model_);
    const std::vector<GivenTap> taps = {{"layers.0.output", "scale", -1, 0, 2, 4}, {"layers.1.output", "last"}};
    for (const Session* s : {&a, &b, &alone}) set_taps(*s, taps);
    feed(a, part(ids_, 0, 2));
    feed(alone, part(ids_, 0, 2));
    feed(b, part(ids_, 0, 1));  // their positions differ: so do the tokens that the tap applies to
    Tensor ids{ORR_TYPE_I32, {2, 1}, std::vector<char>(8)};
    std::memcpy(ids.bytes.data(), &ids_[2], 4);
    std::memcpy(ids.bytes.data() + 4, &ids_[1], 4);
    const orr_named_tensor input = named("input_ids", ids);
    const orr_named_tensor* inputs[] = {&input};
    orr_session* sessions[] = {a.get(), b.get()};
    check(orr_session_run_batch(2, sessions, "next", 1, inputs, 0, nullptr));
    orr_named_tensor logits{};
    logits.header = ORR_HEADER(orr_named_tensor);
    check(orr_session_output(a.get(), "logits", &logits));
    const auto want = feed(alone, {ids_[2]}).floats();
    EXPECT_EQ(std::memcmp(logits.data, want.data(), want.size() * sizeof(float)), 0);
    set_taps(b, {{"layers.0.output", "scale", -3, 0, 2, 4}, {"layers.1.output", "last"}});
    expect_failure([&] { check(orr_session_run_batch(2, sessions, "next", 1, inputs, 0, nullptr)); }, ORR_INVALID_ARGUMENT, {"same controls and taps", "session 1"});
}

// Of states that count tokens, and of those that do not.
class SteeredTogether : public testing::TestWithParam<std::tuple<const char*, const char*>> {
  protected:
    void SetUp() override {
        if (!usable(std::get<1>(GetParam()))) GTEST_SKIP() << "no Vulkan device";
    }
};
INSTANTIATE_TEST_SUITE_P(Models, SteeredTogether, testing::Combine(testing::Values("mamba", "llama"), testing::Values("cpu", "vulkan")),
                         [](const auto& info) { return std::string(std::get<0>(info.param)) + "_" + std::get<1>(info.param); });

TEST_P(SteeredTogether, PositionsAreEachSessionsOwn) {
    const Model model = open_golden(std::get<0>(GetParam()), nullptr, std::get<1>(GetParam()));
    const std::vector<int32_t> ids = some_ids(12, 41);
    std::vector<Session> alone, together;
    std::vector<orr_session*> raw;
    Tensor next{ORR_TYPE_I32, {3, 1}, std::vector<char>(12)};
    for (size_t i = 0; i < 3; i++) {
        const Session plain = make_session(model);
        feed(plain, part(ids, 0, 4 + i));
        for (std::vector<Session>* list : {&alone, &together}) set_taps(list->emplace_back(fork(plain)), {{"layers.0.output", "scale", -2, 0, 5, 6}, {"layers.*.output"}});
        raw.push_back(together.back().get());
        std::memcpy(&next.bytes[4 * i], &ids[4 + i], 4);
        EXPECT_EQ(feed(fork(plain), {ids[4 + i]}).bytes != feed(fork(alone[i]), {ids[4 + i]}).bytes, i == 1);  // whose next token is position 5
    }
    const orr_named_tensor input = named("input_ids", next);
    const orr_named_tensor* inputs[] = {&input};
    check(orr_session_run_batch(3, raw.data(), "next", 1, inputs, 0, nullptr));
    for (size_t i = 0; i < 3; i++) {
        const Tensors want = run(alone[i], {{"input_ids", ids_tensor({ids[4 + i]})}}, "next");
        for (const char* name : {"layers.0.output", "layers.1.output", "logits"}) {
            orr_named_tensor got{};
            got.header = ORR_HEADER(orr_named_tensor);
            check(orr_session_output(raw[0], name, &got));
            const Tensor& own = want.at(name);
            ASSERT_EQ(got.size_bytes, 3 * own.bytes.size());
            EXPECT_EQ(std::memcmp(static_cast<const char*>(got.data) + i * own.bytes.size(), own.bytes.data(), own.bytes.size()), 0) << name << " of session " << i;
        }
    }
}

// Of architectures whose norms stand before their sub-layers: passing one by is silencing what it hands on.
class Bypass : public testing::TestWithParam<std::pair<const char*, const char*>> {};
INSTANTIATE_TEST_SUITE_P(Models, Bypass,
                         testing::Values(std::pair("llama", ""), std::pair("gpt2", ""), std::pair("qwen3_moe", ""), std::pair("gemma3", ""), std::pair("vit_classifier", ""), std::pair("swin_classifier", ""), std::pair("patchtst_model", ""),
                                         std::pair("clip_text", "text."), std::pair("clip_vision_projected", "vision."), std::pair("whisper", "encoder."), std::pair("whisper", "decoder.")),
                         [](const auto& info) { return std::string(info.param.first) + "_" + std::to_string(info.index); });

TEST_P(Bypass, IsASilencedSubLayer) {
    const auto& [name, prefix] = GetParam();
    const Model model = open_golden(name);
    const Tensors inputs = read_tensors(golden_folder(name) + "/inputs.safetensors");
    const auto session = [&] { return make_session(model, [&](orr_session_options& o) { o.batch = inputs.begin()->second.shape[0]; }); };
    const Tensors plain = run(session(), inputs);
    for (const char* part : {"mixer", "ffn"}) {
        const Session passed = session(), silenced = session();
        set_control(passed, (std::string(prefix) + "bypass").c_str(), ("\"0." + std::string(part) + "\"").c_str());
        set_taps(silenced, {{std::string(prefix) + "layers.0." + part + ".output", "zero"}});
        const Tensors got = run(passed, inputs), want = run(silenced, inputs);
        bool changes = false;
        for (const auto& [output, tensor] : want) {
            EXPECT_LE(difference(got.at(output), tensor), kTolerance) << part << ": " << output;
            changes = changes || tensor.bytes != plain.at(output).bytes;
        }
        EXPECT_TRUE(changes) << part << " has no say in the outputs";
    }
}

TEST(SteeredStages, KeepTheirOrder) {
    const Model model = open_golden("swin_classifier");
    const Tensors inputs = read_tensors(golden_folder("swin_classifier") + "/inputs.safetensors");
    const Session s = make_session(model, [&](orr_session_options& o) { o.batch = inputs.begin()->second.shape[0]; });
    const Tensors plain = run(s, inputs);
    expect_failure([&] { set_control(s, "layer_plan", "\"0,2,1,3\""); }, ORR_INVALID_ARGUMENT, {"layer_plan", "layer 1 of stage 0", "behind", "stage 1"});
    expect_failure([&] { set_control(s, "layer_plan", "\"0,1|2,3\""); }, ORR_INVALID_ARGUMENT, {"layer_plan", "layer 2 of stage 1", "beside", "stage 0"});
    set_control(s, "layer_plan", "\"3\"");  // a stage without layers still merges
    EXPECT_EQ(run(s, inputs).begin()->second.shape, plain.begin()->second.shape);
    set_control(s, "layer_plan", "\"0,1|1,2,3\"");
    for (const auto& [name, tensor] : plain) EXPECT_LE(difference(run(s, inputs).at(name), tensor), 1e-5) << name;
}

// Kinds that break the rules, as a plugin linked into the host.
const char* const kTwo[] = {"first", "second", nullptr};
orr_value twice(orr_builder* b, const orr_tap_point* p) {
    orrery::Graph g(b);
    return g.op("orr.affine/1", {orrery::Value{p->value}}, orrery::Attrs().set("scale", 2.0)).id;
}
const orr_tap_kind kOddKinds[] = {
    {ORR_HEADER(orr_tap_kind), "wild", "its second output is no value", 0, kTwo, [](orr_builder*, const orr_tap_point* p, orr_value* outs) { outs[0] = p->value, outs[1] = 98765432; }},
    {ORR_HEADER(orr_tap_kind), "half", "has no second output", 0, kTwo, [](orr_builder*, const orr_tap_point* p, orr_value* outs) { outs[0] = p->value; }},
    {ORR_HEADER(orr_tap_kind), "both", "x and 2 x", 0, kTwo, [](orr_builder* b, const orr_tap_point* p, orr_value* outs) { outs[0] = p->value, outs[1] = twice(b, p); }},
    {ORR_HEADER(orr_tap_kind), "same", "y = x", ORR_TAP_EDIT, nullptr, [](orr_builder*, const orr_tap_point* p, orr_value* outs) { outs[0] = p->value; }},
    {ORR_HEADER(orr_tap_kind), "given", "y = v, made by no node", ORR_TAP_EDIT | ORR_TAP_NEEDS_OPERAND, nullptr, [](orr_builder*, const orr_tap_point* p, orr_value* outs) { outs[0] = p->operand; }},
    {ORR_HEADER(orr_tap_kind), "places", "i32 of the value's shape", ORR_TAP_EDIT, nullptr,
     [](orr_builder* b, const orr_tap_point* p, orr_value* outs) { orrery::Graph g(b); outs[0] = g.op("orr.cast/1", {orrery::Value{p->value}}, orrery::Attrs().set("type", "i32")).id; }},
};
const orr_plugin* odd_kinds(const orr_host*) {
    static const orr_tap_kind* const items[] = {&kOddKinds[0], &kOddKinds[1], &kOddKinds[2], &kOddKinds[3], &kOddKinds[4], &kOddKinds[5]};
    static const orr_taps taps = {ORR_HEADER(orr_taps), 6, items};
    static const orr_plugin plugin = {ORR_HEADER(orr_plugin), "test.odd_taps", "1.0", "MIT", ORR_SANITIZER, [](const char* id) -> const void* { return std::string_view(id) == ORR_EXT_TAPS ? &taps : nullptr; }};
    return &plugin;
}

TEST(SteeringKinds, WhatAPluginGivesIsChecked) {
    const Engine engine = make_engine();
    check(orr_engine_add_plugin(engine.get(), odd_kinds));
    const Model model = open_golden("llama", engine.get());
    const Session s = make_session(model), plain = make_session(model);
    const std::string path = "layers.0.output";
    const Tensor row{ORR_TYPE_F32, {1, 3, 24}, std::vector<char>(288)};
    expect_failure([&] { set_taps(s, {{path, "wild"}}); }, ORR_INVALID_ARGUMENT, {"wild", path, "98765432", "second"});
    expect_failure([&] { set_taps(s, {{path, "half"}}); }, ORR_INVALID_ARGUMENT, {"half", path, "nothing", "second"});
    expect_failure([&] { set_taps(s, {{path, "given", 1, 0, 0, 0, 0, 0, &row}}); }, ORR_INVALID_ARGUMENT, {"given", path, "no node makes"});
    expect_failure([&] { set_taps(s, {{path, "places"}}); }, ORR_INVALID_ARGUMENT, {"places", "it gives i32 [", "the value is f32 ["});
    set_taps(s, {{path, "both"}});
    const Tensors both = run(s, {{"input_ids", ids_tensor({1, 2, 3})}}, "forward");
    const std::vector<float> x = both.at(path + ":both.first").floats(), doubled = both.at(path + ":both.second").floats();
    for (size_t i = 0; i < x.size(); i++) EXPECT_EQ(doubled[i], 2 * x[i]);
    check(orr_session_reset(s.get()));
    set_taps(s, {{path, "same"}, {path}});
    set_taps(plain, {{path}});
    const Tensors got = run(s, {{"input_ids", ids_tensor({1, 2, 3})}}, "forward"), want = run(plain, {{"input_ids", ids_tensor({1, 2, 3})}}, "forward");
    EXPECT_EQ(got.at(path).bytes, want.at(path).bytes);
    EXPECT_EQ(got.size(), want.size());
}

// Their outputs would have one name.
TEST(SteeringErrors, OneKindWithTwoCountsAtAPath) {
    const Model model = open_golden("llama");
    const Session s = make_session(model);
    expect_failure([&] { set_taps(s, {{"logits", "top_k", 1, 5}, {"logits", "top_k", 1, 3}}); }, ORR_CONFLICT, {"top_k", "logits:top_k.values", "count 5", "count 3"});
    expect_failure([&] { set_taps(s, {{"layers.*.output", "top_k", 1, 5}, {"layers.1.output", "top_k", 1, 3}}); }, ORR_CONFLICT, {"layers.1.output:top_k.values"});
    set_taps(s, {{"layers.*.output", "top_k", 1, 5}, {"layers.1.output", "top_k", 1, 5}, {"layers.*.output", "norm"}, {"layers.0.output", "norm"}});  // the same twice is asked for once
    const Tensors got = run(s, {{"input_ids", ids_tensor({1, 2})}}, "forward");
    EXPECT_EQ(got.at("layers.1.output:top_k.values").shape, (std::vector<int64_t>{1, 2, 5}));
    check(orr_session_reset(s.get()));
    set_taps(s, {{"logits", "top_k", 1, 5, 0, 0, 0, 1}, {"logits", "top_k", 1, 3, 0, 0, 1, 2}});  // in runs of their own
    for (const int64_t count : {5, 3}) EXPECT_EQ(run(s, {{"input_ids", ids_tensor({1})}}, "next").at("logits:top_k.values").shape.back(), count);
}

TEST(SteeringErrors, NameWhatIsWrong) {
    const Model model = open_golden("llama");
    const Session s = make_session(model);
    const Tensor wide{ORR_TYPE_F32, {3}, std::vector<char>(12)}, whole{ORR_TYPE_I32, {24}, std::vector<char>(96)}, deep{ORR_TYPE_F32, {1, 1, 1, 24}, std::vector<char>(96)};
    expect_failure([&] { set_taps(s, {{"layers.5.output"}}); }, ORR_NOT_FOUND, {"llama", "layers.5.output"});
    expect_failure([&] { set_taps(s, {{"layers.*"}}); }, ORR_NOT_FOUND, {"layers.*"});  // * stops at a dot
    expect_failure([&] { set_taps(s, {{""}}); }, ORR_INVALID_ARGUMENT, {"names no path"});
    expect_failure([&] { set_taps(s, {{"logits", "frobnicate"}}); }, ORR_NOT_FOUND, {"frobnicate", "entropy"});
    expect_failure([&] { set_taps(s, {{"logits", "top_k"}}); }, ORR_INVALID_ARGUMENT, {"top_k", "count 0"});
    expect_failure([&] { set_taps(s, {{"logits", "top_k", 1, 4000}}); }, ORR_INVALID_ARGUMENT, {"logits", "4000", "41"});
    expect_failure([&] { set_taps(s, {{"logits", "set"}}); }, ORR_INVALID_ARGUMENT, {"set", "no operand"});
    for (const auto& [factor, text] : std::map<double, std::string>{{-INFINITY, "-inf"}, {INFINITY, "inf"}, {1e39, "999999999999999"}})
        for (const char* kind : {"scale", "add"}) expect_failure([&] { set_taps(s, {{"layers.0.output", kind, factor}}); }, ORR_INVALID_ARGUMENT, {kind, "layers.0.output", "factor " + text, "f32"});
    expect_failure([&] { set_taps(s, {{"layers.0.output", "scale", NAN}}); }, ORR_INVALID_ARGUMENT, {"scale", "layers.0.output", "factor nan"});
    expect_failure([&] { set_taps(s, {{"layers.0.output", "add", 1, 0, 0, 0, 0, 0, &wide}}); }, ORR_INVALID_ARGUMENT, {"layers.0.output", "[3]", "24"});
    expect_failure([&] { set_taps(s, {{"layers.0.output", "add", 1, 0, 0, 0, 0, 0, &deep}}); }, ORR_INVALID_ARGUMENT, {"[1, 1, 1, 24]"});
    expect_failure([&] { set_taps(s, {{"layers.0.output", "add", 1, 0, 0, 0, 0, 0, &whole}}); }, ORR_INVALID_ARGUMENT, {"i32", "f32"});
    expect_failure([&] { set_taps(s, {{"layers.0.output", "zero", 1, 0, 5, 3}}); }, ORR_INVALID_ARGUMENT, {"positions", "5", "3"});
    expect_failure([&] { set_taps(s, {{"layers.0.output", "read", 1, 0, 0, 3}}); }, ORR_INVALID_ARGUMENT, {"positions", "read"});
    expect_failure([&] { set_taps(s, {{"layers.0.output", "zero", 1, 0, 0, 0, -1, 0}}); }, ORR_INVALID_ARGUMENT, {"runs"});
    expect_failure([&] { set_taps(s, {{"layers.0.output." + std::string(3000, '*') + "X"}}); }, ORR_NOT_FOUND, {"layers.0.output."});  // at once
    expect_failure([&] { set_control(s, "depth", "1"); }, ORR_NOT_FOUND, {"depth", "layer_plan", "bypass"});
    for (const char* bad : {"\"2\"", "\"0,,1\"", "\"0-\"", "\"-1\"", "\"0*x\"", "\"0|\"", "\"a\"", "\"0*99999999\"", "[0]", "true", "{"})
        expect_failure([&] { set_control(s, "layer_plan", bad); }, ORR_INVALID_ARGUMENT, {"layer_plan"});
    for (const char* never : {"\"0*0\"", "\"0,1*0\"", "\"0-1*0\""}) expect_failure([&] { set_control(s, "layer_plan", never); }, ORR_INVALID_ARGUMENT, {"layer_plan", "*0\" is to run 0 times", "the least is 1"});
    expect_failure([&] { set_control(s, "bypass", "\"0.norm\""); }, ORR_INVALID_ARGUMENT, {"bypass", "0.norm"});
    // None of it was taken: the session runs as a plain one.
    EXPECT_EQ(feed(s, {1, 2, 3}).bytes, feed(make_session(model), {1, 2, 3}).bytes);
    orr_named_tensor cut = named("operand", deep);
    orr_tap with = {ORR_HEADER(orr_tap), "logits", "set", 1, 0, &cut, 0, 0, 0, 0};
    const orr_tap* given[] = {&with};
    cut.header.struct_size = 4;
    expect_failure([&] { check(orr_session_set_taps(s.get(), 1, given)); }, ORR_ABI_MISMATCH, {"operand", "4"});
    // Axes that may be channels are none of tokens.
    const Model series = open_golden("patchtst_channels");
    const Session forecast = make_session(series);
    expect_failure([&] { set_taps(forecast, {{"layers.0.output", "zero", 1, 0, 1, 3}}); }, ORR_UNSUPPORTED, {"layers.0.output", "axis of tokens"});
    // An operand that fits some runs alone is refused by the others.
    const Tensor three{ORR_TYPE_F32, {1, 3, 24}, std::vector<char>(288)};
    set_taps(s, {{"layers.0.output", "set", 1, 0, 0, 0, 0, 0, &three}});
    expect_failure([&] { feed(s, {4}); }, ORR_INVALID_ARGUMENT, {"layers.0.output", "[1, 3, 24]", "[1, 1, 24]"});
    EXPECT_EQ(orr_session_position(s.get()), 3);
    feed(s, {4, 5, 6});
}

}  // namespace
}  // namespace engine_tests
