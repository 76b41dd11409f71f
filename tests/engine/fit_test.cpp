// orr_session_fit_control: the first value of a control with which a session stays within limits, found by what plans and runs take.
#include <atomic>
#include <thread>

#include "random_llama.hpp"
#include "support.hpp"

namespace engine_tests {
namespace {

orr_fit limits() {
    orr_fit fit{};
    fit.header = ORR_HEADER(orr_fit);
    return fit;
}
orr_fit weights_within(uint64_t bytes) {
    orr_fit fit = limits();
    fit.weight_bytes = bytes;
    return fit;
}
orr_fit memory_within(uint64_t bytes) {
    orr_fit fit = limits();
    fit.memory_bytes = bytes;
    return fit;
}
orr_fit time_within(uint64_t ns) {
    orr_fit fit = limits();
    fit.time_ns = ns;
    return fit;
}

Json fit(const Session& session, orr_fit limits, const std::vector<std::string>& values = {}, const std::string& control = "ffn_width") {
    std::vector<const char*> pointers;
    for (const std::string& v : values) pointers.push_back(v.c_str());
    limits.value_count = static_cast<uint32_t>(pointers.size());
    limits.values = pointers.data();
    orr_text* text = nullptr;
    check(orr_session_fit_control(session.get(), control.c_str(), &limits, &text));
    const Json report = Json::parse(orr_text_data(text));
    orr_text_release(text);
    return report;
}
// What one value takes.
uint64_t need(const Session& session, const char* what, const std::string& value) {
    return fit(session, std::string(what) == "memory_bytes" ? memory_within(UINT64_MAX) : std::string(what) == "time_ns" ? time_within(UINT64_MAX) : weights_within(UINT64_MAX), {value})[what].get<uint64_t>();
}

std::vector<std::string> ladder(const Model& model, const std::string& control = "ffn_width") {
    orr_text* text = nullptr;
    check(orr_model_describe(model.get(), "controls", nullptr, &text));
    std::vector<std::string> values;
    for (const Json& c : Json::parse(orr_text_data(text)))
        if (c["name"] == control)
            for (const Json& v : c["ladder"]) values.push_back(v.get<std::string>());
    orr_text_release(text);
    return values;
}

// The rule of arXiv:2310.07707v2, section 3.3: two neighbouring granularities at most, sizes that do not shrink with depth.
TEST(Fit, HasALadderOfLeastSlope) {
    EXPECT_EQ(ladder(open_golden("llama")), (std::vector<std::string>{"1", "0:0.5", "0.5", "0:0.25,1:0.5", "0.25", "0:0.125,1:0.25", "0.125"}));
    const std::vector<std::string> four = ladder(open_golden("swin_classifier"));
    EXPECT_EQ(four.size(), 13u);
    EXPECT_EQ(four[6], "0-1:0.25,2-3:0.5");
    EXPECT_EQ(ladder(open_golden("whisper"), "encoder.ffn_width").size(), 7u);
}

// A llama whose feed-forwards are most of it.
class FitWide : public testing::TestWithParam<const char*> {
  protected:
    void SetUp() override {
        if (!usable(GetParam())) GTEST_SKIP() << "no device " << GetParam();
        file_ = RandomLlama(RandomLlama::types()[0], 4096).file();
        blob_ = {ORR_HEADER(orr_blob), "", file_.data(), file_.size()};
        const orr_blob* blobs[] = {&blob_};
        orr_model_options options{};
        options.header = ORR_HEADER(orr_model_options);
        options.blobs = blobs;
        options.blob_count = 1;
        options.device = GetParam();
        orr_model* model = nullptr;
        check(orr_model_open(shared_engine(), &options, &model));
        model_ = Model(model);
    }
    Session session() const {
        return make_session(model_, [](orr_session_options& o) { o.threads = 2, o.numerics = ORR_NUMERICS_DEFAULT, o.context = 512; });
    }
    std::string file_;
    orr_blob blob_;
    Model model_;
};
INSTANTIATE_TEST_SUITE_P(Devices, FitWide, testing::Values("cpu", "vulkan"), [](const auto& info) { return std::string(info.param); });

TEST_P(FitWide, TakesTheLargestWithinTheLimit) {
    const std::vector<std::string> widths = {"1", "3072", "0.5", "0.25"};
    for (const char* what : {"weight_bytes", "memory_bytes"}) {
        const Session s = session();
        std::vector<uint64_t> needs;
        for (const std::string& w : widths) needs.push_back(need(s, what, w));
        for (size_t i = 0; i + 1 < widths.size(); i++) {
            ASSERT_GT(needs[i], needs[i + 1]) << what;
            for (const uint64_t limit : {needs[i] - 1, (needs[i] + needs[i + 1]) / 2, needs[i + 1]}) {
                const Json report = fit(s, std::string(what) == "weight_bytes" ? weights_within(limit) : memory_within(limit), widths);
                EXPECT_EQ(report["value"].dump(), widths[i + 1] == "3072" ? "3072" : widths[i + 1]) << what << " within " << limit << ": " << report;
                EXPECT_EQ(report[what], needs[i + 1]);
            }
        }
        expect_failure([&] { fit(s, std::string(what) == "weight_bytes" ? weights_within(needs.back() - 1) : memory_within(needs.back() - 1), widths); }, ORR_LIMIT,
                       {"ffn_width", "0.25", what, std::to_string(needs.back()), std::to_string(needs.back() - 1)});
    }
}

TEST_P(FitWide, TellsWhatRunsThenTake) {
    const Session s = session(), narrow = session(), plain = session();
    const std::vector<int32_t> ids = some_ids(512, 60);
    const uint64_t whole = need(s, "weight_bytes", "1"), least = need(s, "weight_bytes", "0.125");
    // Of two layers the first is the smaller one, by one granularity.
    const Json report = fit(s, weights_within((whole + need(s, "weight_bytes", "0.5")) / 2));
    EXPECT_EQ(report["control"], "ffn_width");
    EXPECT_EQ(report["value"], "0:0.5");
    EXPECT_TRUE(report["refused"].empty());
    EXPECT_GE(report["tried"].size(), 2u);
    EXPECT_LE(report["tried"].size(), 4u) << "of 7, by bisection";
    check(orr_session_set_control(narrow.get(), "ffn_width", "\"0:0.5\""));
    EXPECT_SAME_BITS(feed(s, {3, 1, 4}), feed(narrow, {3, 1, 4}));
    feed(s, {5});
    const Json work = Json::parse(describe(s, "work"));
    EXPECT_EQ(work["last"]["weight_bytes"]["run"].get<uint64_t>(), report["weight_bytes"].get<uint64_t>());
    EXPECT_LT(report["weight_bytes"].get<uint64_t>(), whole);
    EXPECT_GT(report["weight_bytes"].get<uint64_t>(), least);
    // What lies in memory: weights are packed whole, states are the same, only the workspace shrinks.
    const auto in_use = [&](const Session& session) {
        check(orr_session_reset(session.get()));
        feed(session, {7});
        check(orr_session_reset(session.get()));
        feed(session, ids);
        const Json m = Json::parse(describe(session, "memory"));
        return m["packed_weight_bytes"].get<uint64_t>() + m["device_weight_bytes"].get<uint64_t>() + m["state_reserved_bytes"].get<uint64_t>() + m["arena_bytes"].get<uint64_t>() + m["device_work_bytes"].get<uint64_t>();
    };
    const uint64_t limit = need(s, "memory_bytes", "0.25");
    EXPECT_EQ(fit(s, memory_within(limit))["value"], "0:0.25,1:0.5") << "of a prompt the last layer's feed-forward sees one row";
    const uint64_t narrow_bytes = in_use(s), plain_bytes = in_use(plain);
    EXPECT_LE(narrow_bytes, limit);
    EXPECT_GT(narrow_bytes, limit - limit / 50);
    EXPECT_GT(plain_bytes, limit);
}

TEST_P(FitWide, KeepsTheTime) {
    const Session s = session();
    EXPECT_EQ(fit(s, time_within(3600'000'000'000))["value"], "1");
    expect_failure([&] { fit(s, time_within(1)); }, ORR_LIMIT, {"ffn_width", "0.125", "time_ns", "the limit 1"});
    // Between what the whole and the smallest take. Something else on the machine may be slow: then again.
    for (int attempt = 0;; attempt++) {
        const uint64_t whole = need(s, "time_ns", "1"), least = need(s, "time_ns", "0.125"), limit = (whole + least) / 2;
        Json report;
        try {
            report = fit(s, time_within(limit));
        } catch (const Failure& failed) {
            ASSERT_EQ(failed.status, ORR_LIMIT) << failed.what();
        }
        if (attempt < 20 && (whole < least || report.is_null() || report["value"] == "1")) continue;
        ASSERT_FALSE(report.is_null());
        EXPECT_LE(report["time_ns"].get<uint64_t>(), limit);
        EXPECT_NE(report["value"], "1");
        for (const Json& tried : report["tried"]) EXPECT_EQ(tried["fits"].get<bool>(), tried["time_ns"].get<uint64_t>() <= limit);
        break;
    }
}

TEST_P(FitWide, EndsWithACancel) {
    const Session s = session();
    check(orr_session_set_control(s.get(), "ffn_width", "0.25"));
    const Tensor before = feed(s, {3, 1, 4});
    std::atomic<bool> done{false};
    std::thread other([&] {
        while (!done) orr_session_cancel(s.get());
    });
    const Failure failed = failure_of([&] { fit(s, time_within(3600'000'000'000)); });
    done = true;
    other.join();
    EXPECT_EQ(failed.status, ORR_CANCELLED) << failed.what();
    check(orr_session_reset(s.get()));
    EXPECT_SAME_BITS(feed(s, {3, 1, 4}), before);
}

// Values that blocks of the weights forbid are left out; those that the host gives are not.
TEST(Fit, LeavesOutWhatTheModelRefuses) {
    const Model model = open_golden("llama_quantised_adapters");
    const Session s = make_session(model);
    const uint64_t half = need(s, "weight_bytes", "0.5");
    const Json report = fit(s, weights_within(half));
    EXPECT_EQ(report["value"], "0.5");
    EXPECT_FALSE(report["refused"].empty());
    for (const Json& value : report["refused"]) EXPECT_NE(value.get<std::string>().find("25"), std::string::npos) << value;
    expect_failure([&] { fit(s, weights_within(half - 1)); }, ORR_LIMIT, {"\"0.5\"", std::to_string(half), std::to_string(half - 1)});
    expect_failure([&] { fit(s, weights_within(1), {"0.25"}); }, ORR_INVALID_ARGUMENT, {"16", "32", "q4_0"});
}

TEST(Fit, OfOtherModels) {
    for (const auto& [name, control, entry, tokens] : {std::tuple("bert", "ffn_width", static_cast<const char*>(nullptr), 16), std::tuple("vit_classifier", "ffn_width", static_cast<const char*>(nullptr), 0),
                                                       std::tuple("whisper", "encoder.ffn_width", "encode", 0), std::tuple("gpt2", "ffn_width", "next", 4)}) {
        SCOPED_TRACE(name);
        const Model model = open_golden(name);
        const Session s = make_session(model);
        orr_fit f = limits();
        f.entry = entry;
        f.tokens = tokens;
        f.time_ns = f.memory_bytes = f.weight_bytes = UINT64_MAX;
        const Json whole = fit(s, f, {}, control), half = fit(s, f, {"0.5"}, control);
        EXPECT_EQ(whole["value"], "1");
        EXPECT_LT(half["weight_bytes"], whole["weight_bytes"]);
        EXPECT_LE(half["memory_bytes"], whole["memory_bytes"]);
        EXPECT_GT(half["time_ns"], 0);
        // Other controls are as the session has them: the layer plan here.
        check(orr_session_set_control(s.get(), (std::string(control).substr(0, std::string(control).find("ffn")) + "layer_plan").c_str(), "\"0\""));
        EXPECT_LT(fit(s, f, {}, control)["weight_bytes"], whole["weight_bytes"]);
    }
}

TEST(Fit, RefusesWhatCannotBe) {
    const Model model = open_golden("llama");
    const Session s = make_session(model);
    const auto refused = [&](const orr_fit& f, const std::string& control, orr_status status, const std::vector<std::string>& parts) {
        expect_failure([&] { check(orr_session_fit_control(s.get(), control.c_str(), &f, nullptr)); }, status, parts);
    };
    refused(limits(), "ffn_width", ORR_INVALID_ARGUMENT, {"orr_fit", "memory_bytes", "weight_bytes", "time_ns"});
    refused(weights_within(1), "width", ORR_NOT_FOUND, {"\"width\"", "ffn_width"});
    refused(weights_within(1), "bypass", ORR_UNSUPPORTED, {"bypass", "ladder"});
    orr_fit f = weights_within(UINT64_MAX);
    f.tokens = 1'000'000;
    refused(f, "ffn_width", ORR_INVALID_ARGUMENT, {"1000000", "context"});
    f = weights_within(UINT64_MAX);
    f.entry = "backward";
    refused(f, "ffn_width", ORR_NOT_FOUND, {"backward"});
    f = weights_within(UINT64_MAX);
    const char* const values[] = {"1", nullptr};
    f.value_count = 2;
    f.values = values;
    refused(f, "ffn_width", ORR_INVALID_ARGUMENT, {"value 1 of 2"});
    f.value_count = 1;
    check(orr_session_fit_control(s.get(), "ffn_width", &f, nullptr));
    expect_failure([&] { check(orr_session_fit_control(s.get(), "ffn_width", nullptr, nullptr)); }, ORR_INVALID_ARGUMENT, {"limits"});
}

}  // namespace
}  // namespace engine_tests
