// Attention's probabilities, asked for by path: what transformers gives with output_attentions (golden/<case>/attention.safetensors), in one run
// and token by token, and nothing of them where nobody asks.
#include <cmath>

#include "support.hpp"

namespace engine_tests {
namespace {

constexpr float kTolerance = 1e-4f;

void set_taps(const Session& session, const std::vector<std::string>& paths, const char* kind = "read") {
    std::vector<orr_tap> taps;
    for (const std::string& path : paths) taps.push_back({ORR_HEADER(orr_tap), path.c_str(), kind, 1, 0, nullptr, 0, 0, 0, 0});
    std::vector<const orr_tap*> pointers;
    for (const orr_tap& t : taps) pointers.push_back(&t);
    check(orr_session_set_taps(session.get(), static_cast<uint32_t>(pointers.size()), pointers.data()));
}

float largest_difference(const Tensor& got, const Tensor& want) {
    if (got.shape != want.shape) return INFINITY;
    const std::vector<float> a = got.floats(), b = want.floats();
    float most = 0;
    for (size_t i = 0; i < a.size(); i++) most = std::isfinite(a[i]) ? std::max(most, std::fabs(a[i] - b[i])) : INFINITY;
    return most;
}

// Queries [from, to) of [B, H, T, T], as a session that ends there sees them.
Tensor part_of(const Tensor& whole, int64_t from, int64_t to) { return whole.cut(2, from, to).cut(3, 0, to); }

Tensor mean_of(const Tensor& whole, int64_t axis) {
    Tensor out = whole.cut(static_cast<size_t>(axis), 0, 1);
    int64_t inner = 1;
    for (size_t k = static_cast<size_t>(axis) + 1; k < whole.shape.size(); k++) inner *= whole.shape[k];
    const int64_t extent = whole.shape[static_cast<size_t>(axis)];
    const std::vector<float> x = whole.floats();
    for (size_t i = 0; i < out.bytes.size() / sizeof(float); i++) {
        const int64_t place = static_cast<int64_t>(i), first = place / inner * extent * inner + place % inner;
        double sum = 0;
        for (int64_t t = 0; t < extent; t++) sum += x[static_cast<size_t>(first + t * inner)];
        const float mean = static_cast<float>(sum / static_cast<double>(extent));
        std::memcpy(out.bytes.data() + i * sizeof mean, &mean, sizeof mean);
    }
    return out;
}

// What `last` and `mean` give of each path is that of the value's own axis of tokens.
void expect_reduced(const Session& session, const Tensors& inputs, const Tensors& values, int64_t axis) {
    std::vector<std::string> paths;
    for (const auto& [path, value] : values) paths.push_back(path);
    set_taps(session, paths, "last");
    const Tensors last = run(session, inputs);
    set_taps(session, paths, "mean");
    check(orr_session_reset(session.get()));
    const Tensors mean = run(session, inputs);
    for (const auto& [path, value] : values) {
        const int64_t tokens = value.shape[static_cast<size_t>(axis)];
        EXPECT_LE(largest_difference(last.at(path + ":last"), value.cut(static_cast<size_t>(axis), tokens - 1, tokens)), kTolerance) << path;
        EXPECT_LE(largest_difference(mean.at(path + ":mean"), mean_of(value, axis)), kTolerance) << path;
    }
}

class AttentionTaps : public GoldenOnDevice {
  protected:
    void SetUp() override {
        GoldenOnDevice::SetUp();
        if (IsSkipped()) return;
        want_ = read_tensors(folder_ + "/attention.safetensors");
        for (const auto& [path, tensor] : want_) paths_.push_back(path);
        ASSERT_FALSE(paths_.empty());
    }
    Tensors want_;
    std::vector<std::string> paths_;
};
const auto kName = [](const auto& info) { return std::string(std::get<0>(info.param)) + "_" + std::get<1>(info.param); };
const auto kDevices = testing::Values("cpu", "vulkan");

TEST_P(AttentionTaps, AreWhatUpstreamGives) {
    const Session plain = session(), s = session();
    const Tensors outputs = run(plain, inputs_);
    set_taps(s, paths_);
    const Tensors got = run(s, inputs_);
    for (const std::string& path : paths_) EXPECT_LE(largest_difference(got.at(path), want_.at(path)), kTolerance) << path;
    for (const auto& [name, tensor] : outputs) EXPECT_LE(difference(got.at(name), tensor), 1e-5) << name;
}

TEST_P(AttentionTaps, AreReducedOverTheirQueries) { expect_reduced(session(), inputs_, want_, 2); }

TEST_P(AttentionTaps, AreNotWorkedOutWhereNobodyAsks) {
    const auto count = [](const Session& s) {
        const Json steps = description(s, "plan", "steps");
        return std::count_if(steps.begin(), steps.end(), [](const Json& step) { return step.value("op", "") == "orr.attention_probabilities/1"; });
    };
    const Session plain = session(), s = session();
    run(plain, inputs_);
    EXPECT_EQ(count(plain), 0);
    set_taps(s, {paths_[0]});
    run(s, inputs_);
    EXPECT_EQ(count(s), 1);
    set_taps(s, {});
    check(orr_session_reset(s.get()));
    run(s, inputs_);
    Json left = Json::parse(describe(s, "plan")), never = Json::parse(describe(plain, "plan"));
    for (Json* plan : {&left, &never})
        for (const char* cut : {"submissions", "barriers"}) plan->erase(cut);  // how a device's steps were cut follows how fast it was
    EXPECT_EQ(left.dump(), never.dump());
}
INSTANTIATE_TEST_SUITE_P(Cases, AttentionTaps,
                         testing::Combine(testing::Values("llama", "gpt2", "bert", "vit_classifier", "mistral_window", "gemma2", "mpnet", "swin_classifier", "whisper", "clip_text", "patchtst_model", "llama_masked"), kDevices), kName);

class AttentionTapsOfDecoders : public AttentionTaps {};

TEST_P(AttentionTapsOfDecoders, GrowWithTheSequence) {
    const Session s = session();
    set_taps(s, paths_);
    const Tensor& ids = inputs_.at("input_ids");
    const int64_t tokens = ids.shape[1];
    for (int64_t at = 0; at < tokens;) {
        const int64_t end = at == 0 ? 4 : at == 4 ? 7 : at + 1;  // a prompt, a piece of several, then one by one
        const Tensors got = run(s, {{"input_ids", ids.cut(1, at, end)}}, end == at + 1 ? "next" : "forward");
        for (const std::string& path : paths_) EXPECT_LE(largest_difference(got.at(path), part_of(want_.at(path), at, end)), kTolerance) << path << " of tokens " << at << " to " << end;
        at = end;
    }
}

TEST_P(AttentionTapsOfDecoders, OfOneQuery) {
    const Session s = session();
    set_taps(s, {paths_[0]}, "last");
    const int64_t tokens = inputs_.at("input_ids").shape[1];
    EXPECT_LE(largest_difference(run(s, inputs_).at(paths_[0] + ":last"), want_.at(paths_[0]).cut(2, tokens - 1, tokens)), kTolerance);
}
INSTANTIATE_TEST_SUITE_P(Cases, AttentionTapsOfDecoders, testing::Combine(testing::Values("llama", "gpt2", "mistral_window", "gemma2"), kDevices), kName);

// Tokens of a tower without a symbol of tokens, beside one that has it; golden values of CLIP's own lie in none of its text.
TEST(AttentionTapsOfModels, TowersOfConstantTokensAreReducedOverThem) {
    for (const char* name : {"clip_first_eos", "whisper", "vit_classifier"}) {
        SCOPED_TRACE(name);
        const Model model = open_golden(name);
        const Tensors inputs = read_tensors(golden_folder(name) + "/inputs.safetensors");
        const std::string stack = name == std::string("whisper") ? "encoder." : name == std::string("vit_classifier") ? "" : "vision.";
        const Session s = make_session(model, [&](orr_session_options& o) { o.batch = inputs.begin()->second.shape[0]; });
        std::vector<std::string> of_heads = {stack + "layers.0.mixer.probabilities", stack + "layers.1.mixer.probabilities"}, of_tokens;
        for (const char* path : {"layers.0.mixer.q", "layers.1.mixer.context", "layers.0.ffn.up", "layers.1.output", "embed.output"}) of_tokens.push_back(stack + path);
        for (const auto& [paths, axis] : {std::pair{of_heads, 2}, std::pair{of_tokens, 1}}) {
            set_taps(s, paths);
            check(orr_session_reset(s.get()));
            const Tensors all = run(s, inputs);
            Tensors values;
            for (const std::string& path : paths) values[path] = all.at(path);
            check(orr_session_reset(s.get()));
            expect_reduced(s, inputs, values, axis);
        }
    }
}

TEST(AttentionTapsOfModels, WhatHasNoAxisOfTokensIsNotReduced) {
    const Model speech = open_golden("whisper"), windows = open_golden("swin_classifier");
    const Session s = make_session(speech), w = make_session(windows);
    for (const char* kind : {"last", "mean"}) {
        expect_failure([&] { set_taps(s, {"encoder.conv1.output"}, kind); }, ORR_UNSUPPORTED, {"encoder.conv1.output", "axis of tokens"});  // channels first
        expect_failure([&] { set_taps(w, {"layers.0.windows.q"}, kind); }, ORR_UNSUPPORTED, {"layers.0.windows.q", "axis of tokens"});       // fewer than the layer has
    }
}

TEST(AttentionTapsOfSessions, InABatchShorterSequencesAreFilledWithZeros) {
    const Model model = open_golden("llama");
    const std::string path = "layers.1.mixer.probabilities";
    const std::vector<int32_t> ids = some_ids(8, 41);
    const Session a = make_session(model), b = make_session(model), alone = make_session(model);
    for (const Session* s : {&a, &b, &alone}) set_taps(*s, {path});
    feed(a, part(ids, 0, 5));
    feed(b, part(ids, 0, 2));
    feed(alone, part(ids, 0, 2));
    Tensor next{ORR_TYPE_I32, {2, 1}, std::vector<char>(8)};
    std::memcpy(next.bytes.data(), &ids[5], 4);
    std::memcpy(next.bytes.data() + 4, &ids[2], 4);
    const orr_named_tensor input = named("input_ids", next);
    const orr_named_tensor* inputs[] = {&input};
    orr_session* sessions[] = {a.get(), b.get()};
    check(orr_session_run_batch(2, sessions, "next", 1, inputs, 0, nullptr));
    orr_named_tensor out{};
    out.header = ORR_HEADER(orr_named_tensor);
    check(orr_session_output(a.get(), path.c_str(), &out));
    ASSERT_EQ((std::vector<int64_t>{out.shape, out.shape + out.rank}), (std::vector<int64_t>{2, 4, 1, 6}));
    const std::vector<float> want = run(alone, {{"input_ids", ids_tensor({ids[2]})}}, "next").at(path).floats();
    const auto* got = static_cast<const float*>(out.data) + 24;
    for (size_t h = 0; h < 4; h++)
        for (size_t s = 0; s < 6; s++) EXPECT_FLOAT_EQ(got[h * 6 + s], s < 3 ? want[h * 3 + s] : 0.0f) << h << ", " << s;
}

TEST(AttentionTapsOfSessions, CannotBeEdited) {
    const Model model = open_golden("llama");
    const Session s = make_session(model), plain = make_session(model);
    expect_failure([&] { set_taps(s, {"layers.0.mixer.probabilities"}, "zero"); }, ORR_UNSUPPORTED, {"layers.0.mixer.probabilities", "nothing in the model reads"});
    set_taps(s, {"layers.0.mixer.*"}, "zero");  // of several paths it is passed over
    set_taps(plain, {"layers.0.mixer.output"}, "zero");
    EXPECT_EQ(feed(s, some_ids(5, 41)).bytes, feed(plain, some_ids(5, 41)).bytes);
}

TEST(AttentionTapsOfSessions, HaveNoPositionsPastTheContext) {
    const Model model = open_golden("llama");
    const Session s = make_session(model, [](orr_session_options& o) { o.context = 4; });
    set_taps(s, {"layers.0.mixer.probabilities"});
    feed(s, {1, 2, 3});
    expect_failure([&] { feed(s, {4, 5}); }, ORR_LIMIT, {"5", "4"});
    EXPECT_EQ(run(s, {{"input_ids", ids_tensor({4})}}, "next").at("layers.0.mixer.probabilities").shape, (std::vector<int64_t>{1, 4, 1, 4}));
}

}  // namespace
}  // namespace engine_tests
