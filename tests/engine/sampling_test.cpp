// Tokens chosen where the logits lie: the same as from logits in the host's memory, on the processor and on a device, and nothing else
// comes back.
#include <sstream>

#include "support.hpp"

namespace engine_tests {
namespace {

constexpr int32_t kVocabulary = 41;  // the smallest of the models'

struct Where {
    const char *model, *device;
};
void PrintTo(const Where& w, std::ostream* out) { *out << w.model << " on " << w.device; }

class Sampling : public testing::TestWithParam<Where> {
  protected:
    void SetUp() override {
        if (std::string(GetParam().device) == "cpu") return;
        if (kThreadSanitizer) GTEST_SKIP() << "drivers are not instrumented";
        const Json capabilities = about(shared_engine(), "capabilities");
        for (const Json& d : capabilities["devices"])
            if (d["id"] == "vulkan:0" && !d.contains("problem")) return;
        GTEST_SKIP() << "no Vulkan device";
    }
    Model open() const {
        orr_model_options options{};
        options.header = ORR_HEADER(orr_model_options);
        const std::string path = golden_folder(GetParam().model);
        options.path = path.c_str();
        options.device = GetParam().device;
        orr_model* model = nullptr;
        check(orr_model_open(shared_engine(), &options, &model));
        return Model(model);
    }
};

// The ids of an answer. With logits events the task takes the logits out and chooses itself.
Json answer(const Model& model, orr_session* session, Json request, bool from_logits) {
    request["ids"] = some_ids(9, kVocabulary);
    request["max_tokens"] = 12;
    request["ignore_eog"] = true;
    request["logits_events"] = from_logits;
    orr_task* task = nullptr;
    check(orr_task_create(model.get(), "text_generation", session, &task));
    orr_text* text = nullptr;
    const orr_status status = orr_task_run(task, request.dump().c_str(), [](void*, const orr_event*) { return true; }, nullptr, &text);
    const std::string error = status == ORR_OK ? "" : orr_error_text();
    const Json result = status == ORR_OK ? Json::parse(std::string(orr_text_data(text), orr_text_size(text))) : Json();
    orr_text_release(text);
    orr_task_release(task);
    EXPECT_EQ(status, ORR_OK) << error;
    return result["ids"];
}

const Json kRequests[] = {
    {{"temperature", 0}},
    {{"temperature", 1}, {"top_k", 0}, {"top_p", 1}},
    {{"temperature", 2.5}, {"top_k", 0}, {"top_p", 0.7}},
    {{"temperature", 0.8}, {"top_k", 7}, {"top_p", 0.95}, {"min_p", 0.02}},
    {{"temperature", 1.5}, {"top_k", 0}, {"top_p", 1}, {"min_p", 0.2}},
    {{"temperature", 3}, {"top_k", 5}, {"top_p", 1}},
};

TEST_P(Sampling, EqualsTheChoiceFromLogits) {
    const Model model = open();
    size_t different = 0;
    for (const uint64_t seed : {1u, 2u, 77u}) {
        Json first;
        for (Json request : kRequests) {
            request["seed"] = seed;
            const Session a = make_session(model), b = make_session(model);
            const Json ids = answer(model, a.get(), request, false);
            EXPECT_EQ(ids, answer(model, b.get(), request, true)) << request;
            EXPECT_EQ(ids.size(), 12u);
            if (first.is_null()) first = ids;
            different += ids != first;
        }
    }
    EXPECT_GT(different, 6u);  // the parameters do something
}

TEST_P(Sampling, BringsBackTheTokenAlone) {
    const Model model = open();
    for (const double temperature : {0.0, 0.8}) {
        const Session session = make_session(model);
        answer(model, session.get(), {{"temperature", temperature}}, false);
        const Json steps = description(session, "plan", "steps", "next");
        size_t chosen = 0;
        for (const Json& step : steps) {
            if (step["op"] == "download") EXPECT_EQ(step["outputs"], Json::array({"i32 [1]"}));
            if (step["op"] != "orr.sample/1") continue;
            chosen++;
            EXPECT_EQ(step["outputs"], Json::array({"i32 [1]"}));
            if (step.contains("device")) EXPECT_EQ(step["device"], "vulkan:0");
        }
        EXPECT_EQ(chosen, 1u);
        check(orr_session_reset(session.get()));
        orr_named_tensor t{};
        t.header = ORR_HEADER(orr_named_tensor);
        feed(session, {1});
        check(orr_session_output(session.get(), "logits", &t));
        EXPECT_EQ(orr_session_output(session.get(), "token", &t), ORR_NOT_FOUND);  // who does not want it does not pay
    }
}

TEST_P(Sampling, ParametersWithoutRandomAreRefused) {
    const Model model = open();
    const Session session = make_session(model);
    const Tensor ids = ids_tensor({1, 2}), parameters{ORR_TYPE_F32, {1, 4}, std::vector<char>(16)};
    expect_failure([&] { run(session, {{"input_ids", ids}, {"sampling", parameters}}, "next", {"token"}); }, ORR_INVALID_ARGUMENT, {"parameters without random"});
}

INSTANTIATE_TEST_SUITE_P(Models, Sampling, testing::Values(Where{"llama", "cpu"}, Where{"gpt2", "cpu"}, Where{"gemma3", "cpu"}, Where{"mamba", "cpu"}, Where{"llama", "vulkan"}, Where{"gpt2", "vulkan"}, Where{"gemma3", "vulkan"},
                                                              Where{"mamba", "vulkan"}));

}  // namespace
}  // namespace engine_tests
