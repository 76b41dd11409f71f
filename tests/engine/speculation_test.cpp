// Drafts verified several tokens a run: rows of a run of up to eight tokens have the bits that runs of one token give, of every weight type, numerics and
// kind of cache, on the processor and on a device, and so answers with drafts are the answers without.
#include <sstream>

#include "random_llama.hpp"
#include "support.hpp"

namespace engine_tests {
namespace {

constexpr int32_t kVocabulary = 41;  // the smallest of the models'
constexpr int kMostRows = 8;

struct Where {
    std::string model, device;
};
void PrintTo(const Where& w, std::ostream* out) { *out << w.model << " on " << w.device; }

class Speculated : public testing::TestWithParam<Where> {
  protected:
    void SetUp() override {
        if (GetParam().device == "vulkan" && kThreadSanitizer) GTEST_SKIP() << "drivers are not instrumented";
        if (GetParam().device == "vulkan" && !has_vulkan()) GTEST_SKIP() << "no Vulkan device";
        for (const RandomLlama::Type& type : RandomLlama::types())
            if (GetParam().model == type.name) file_ = RandomLlama(type).file();
        if (file_.empty()) {
            model_ = open_golden(GetParam().model, nullptr, GetParam().device.c_str());
            return;
        }
        blob_ = blob_of("", file_);
        const orr_blob* blobs[] = {&blob_};
        orr_model_options options{};
        options.header = ORR_HEADER(orr_model_options);
        options.blobs = blobs;
        options.blob_count = 1;
        options.device = GetParam().device.c_str();
        orr_model* model = nullptr;
        check(orr_model_open(shared_engine(), &options, &model));
        model_ = Model(model);
    }
    // On a device one setting: what a processor takes to build pipelines for more is minutes.
    std::vector<std::pair<uint32_t, const char*>> settings() const {
        if (GetParam().device == "vulkan") return {{ORR_NUMERICS_DEFAULT, "f16"}};
        std::vector<std::pair<uint32_t, const char*>> all = {{ORR_NUMERICS_DEFAULT, "f16"}, {ORR_NUMERICS_EXACT, "f32"}, {ORR_NUMERICS_FAST, "bf16"}};
        if (!file_.empty()) all.push_back({ORR_NUMERICS_DEFAULT, "q8_0"});  // the others' heads are no multiple of 32 wide
        return all;
    }
    Session session(const std::pair<uint32_t, const char*>& s) const {
        return make_session(model_, [&](orr_session_options& o) { o.numerics = s.first, o.cache_type = s.second, o.threads = 2; });
    }
    std::string file_;
    orr_blob blob_;
    Model model_;
};

TEST_P(Speculated, RowsHaveTheBitsOfSingleSteps) {
    const std::vector<int32_t> ids = some_ids(40, kVocabulary);
    constexpr size_t kPrompt = 19;
    for (const auto& setting : settings()) {
        const Session many = session(setting), single = session(setting);
        feed(many, part(ids, 0, kPrompt));
        feed(single, part(ids, 0, kPrompt));
        Tensor rows[kMostRows + 1];
        for (size_t i = 0; i <= kMostRows; i++) rows[i] = feed(single, part(ids, kPrompt + i, kPrompt + i + 1));
        for (size_t n = 1; n <= kMostRows; n++) {
            const Tensor all = feed(many, part(ids, kPrompt, kPrompt + n), "forward");
            for (size_t i = 0; i < n; i++) EXPECT_TRUE(all.cut(1, static_cast<int64_t>(i), static_cast<int64_t>(i) + 1).bytes == rows[i].bytes) << "row " << i << " of " << n << ", numerics " << setting.first;
            // What it left in the states too; and after a draft of which nothing stands.
            EXPECT_SAME_BITS(feed(many, part(ids, kPrompt + n, kPrompt + n + 1)), rows[n]);
            check(orr_session_rollback(many.get(), static_cast<int64_t>(kPrompt) + 1));
            EXPECT_SAME_BITS(feed(many, part(ids, kPrompt + 1, kPrompt + 2)), rows[1]);
            check(orr_session_rollback(many.get(), static_cast<int64_t>(kPrompt)));
        }
    }
}

Json answer(const Model& model, const Session& session, Json request) {
    orr_task* task = nullptr;
    check(orr_task_create(model.get(), "text_generation", session.get(), &task));
    orr_text* text = nullptr;
    const orr_status status = orr_task_run(task, request.dump().c_str(), nullptr, nullptr, &text);
    const std::string error = status == ORR_OK ? "" : orr_error_text();
    const Json result = status == ORR_OK ? Json::parse(std::string(orr_text_data(text), orr_text_size(text))) : Json::object();
    orr_text_release(text);
    orr_task_release(task);
    EXPECT_EQ(status, ORR_OK) << error;
    return result;
}

TEST_P(Speculated, AnswersAreThoseOfSingleSteps) {
    uint64_t drafted = 0, accepted = 0;
    for (const auto& setting : settings())
        for (uint32_t seed = 1; seed <= 3; seed++) {
            Json request = {{"ids", some_ids(10 + seed, kVocabulary, seed)}, {"max_tokens", 40}, {"temperature", seed == 3 ? 1.2 : 0.0}, {"seed", seed}, {"ignore_eog", true}};
            const Session plain = session(setting);
            const Json wanted = answer(model_, plain, request);
            std::vector<Json> drafts = {{{"lookup", 1}}, {{"lookup", 2}, {"draft", 3}}, {{"layer_plan", "0"}, {"draft", 4}}};
            if (GetParam().model.find("mix") == std::string::npos && GetParam().model.find("moe") == std::string::npos)  // experts are not cut
                drafts.insert(drafts.end(), {{{"ffn_width", 0.5}}, {{"ffn_width", 0.5}, {"layer_plan", "0"}, {"draft", 4}}});
            for (const Json& speculate : drafts) {
                const Session s = session(setting);
                request["speculate"] = speculate;
                const Json got = answer(model_, s, request);
                EXPECT_EQ(got["ids"], wanted["ids"]) << speculate << " numerics " << setting.first;
                EXPECT_EQ(orr_session_position(s.get()), orr_session_position(plain.get()));
                drafted += got["speculation"]["drafted"].get<uint64_t>();
                accepted += got["speculation"]["accepted"].get<uint64_t>();
            }
        }
    EXPECT_GT(drafted, 20u);
    EXPECT_GT(accepted, 0u);
}

std::vector<Where> everywhere() {
    std::vector<Where> all;
    for (const char* model : {"llama", "llama_bf16_llama3", "llama_biases", "gemma2", "gemma3", "gpt2", "mistral_window", "mixtral", "olmo2", "phi3", "phi3_longrope", "qwen2_window", "qwen3", "qwen3_moe"})
        all.push_back({model, "cpu"});
    for (const RandomLlama::Type& type : RandomLlama::types()) all.push_back({type.name, "cpu"});
    for (const char* model : {"llama", "gemma3", "qwen3_moe", "q4_0", "q8_0", "q4_k", "q6_k"}) all.push_back({model, "vulkan"});
    return all;
}
INSTANTIATE_TEST_SUITE_P(Models, Speculated, testing::ValuesIn(everywhere()), [](const auto& info) { return info.param.model + "_" + info.param.device; });

// Dynamic NTK: beyond 8 tokens all new keys of a run are rotated by its length, so that drafts end there.
TEST(Speculation, FrequenciesThatFollowTheLength) {
    const Model model = open_golden("llama_dynamic");
    uint64_t drafted = 0;
    for (uint32_t seed = 1; seed <= 8; seed++) {
        Json request = {{"ids", std::vector<uint32_t>{seed, 30, seed}}, {"max_tokens", 12}, {"temperature", 0}, {"ignore_eog", true}};
        const Session plain = make_session(model), speculated = make_session(model);
        const Json wanted = answer(model, plain, request)["ids"];
        request["speculate"] = {{"lookup", 1}, {"draft", 2}};
        const Json got = answer(model, speculated, request);
        EXPECT_EQ(got["ids"], wanted);
        drafted += got["speculation"]["drafted"].get<uint64_t>();
    }
    EXPECT_GT(drafted, 8u);
}

TEST(Speculation, TheSessionsOwnPlanStays) {
    const Model model = open_golden("llama");
    const Json request = {{"ids", some_ids(9, kVocabulary)}, {"max_tokens", 20}, {"temperature", 0}, {"ignore_eog", true}};
    const Session own = make_session(model), drafted = make_session(model), plain = make_session(model);
    for (const Session* s : {&own, &drafted}) check(orr_session_set_control(s->get(), "layer_plan", "\"1,0\""));
    Json speculated = request;
    speculated["speculate"] = {{"layer_plan", "1"}};
    const Json wanted = answer(model, own, request)["ids"];
    EXPECT_EQ(answer(model, drafted, speculated)["ids"], wanted);
    EXPECT_NE(answer(model, plain, request)["ids"], wanted);
    EXPECT_EQ(answer(model, drafted, request)["ids"], wanted);  // still there
}

TEST(Speculation, RecurrentStatesAreRefused) {
    const Model model = open_golden("mamba");
    const Session session = make_session(model);
    orr_task* task = nullptr;
    check(orr_task_create(model.get(), "text_generation", session.get(), &task));
    for (const char* speculate : {R"({"lookup": 2})", R"({"layer_plan": "0"})"})
        expect_failure([&] { check(orr_task_run(task, (R"({"ids": [1, 2], "speculate": )" + std::string(speculate) + "}").c_str(), nullptr, nullptr, nullptr)); }, ORR_UNSUPPORTED,
                       {"layers.0.mixer.conv is recurrent"});
    orr_task_release(task);
    EXPECT_EQ(orr_session_position(session.get()), 0);
}

// Exits look at all tokens of a run.
TEST(Speculation, ControlsThatDecideByRunsAreRefused) {
    const Model model = open_golden("llama");
    const Session session = make_session(model);
    orr_task* task = nullptr;
    check(orr_task_create(model.get(), "text_generation", session.get(), &task));
    const auto lookup = [&] { check(orr_task_run(task, R"({"ids": [1, 2], "speculate": {"lookup": 2}})", nullptr, nullptr, nullptr)); };
    check(orr_session_set_control(session.get(), "exit_similarity", "0.5"));
    expect_failure(lookup, ORR_UNSUPPORTED, {"control exit_similarity is set"});
    check(orr_session_set_control(session.get(), "exit_similarity", nullptr));
    check(orr_session_set_control(session.get(), "bypass", "\"1.ffn\""));
    lookup();
    orr_task_release(task);
}

TEST(Speculation, APlanThatTheModelDoesNotTakeIsRefused) {
    const Model model = open_golden("llama");
    const Session session = make_session(model);
    orr_task* task = nullptr;
    check(orr_task_create(model.get(), "text_generation", session.get(), &task));
    const auto refused = [&](const char* plan, const std::vector<std::string>& parts) {
        const std::string request = R"({"ids": [1, 2], "temperature": 0, "speculate": {"layer_plan": ")" + std::string(plan) + "\"}}";
        expect_failure([&] { check(orr_task_run(task, request.c_str(), nullptr, nullptr, nullptr)); }, ORR_INVALID_ARGUMENT, parts);
    };
    refused("7", {"layer_plan", "7"});
    refused("", {"speculate.layer_plan", "\"\""});
    // A layer that runs twice has states of its own, in which the prompt is not.
    refused("0*2", {"speculate.layer_plan \"0*2\"", "layers.0#2.mixer.k"});
    orr_text* value = nullptr;
    check(orr_task_run(task, R"({"ids": [1, 2], "speculate": {"layer_plan": "1"}})", nullptr, nullptr, &value));
    orr_text_release(value);
    orr_task_release(task);
}

}  // namespace
}  // namespace engine_tests
