// orr_model_estimate against what a run then takes: with a budget of just so many bytes it runs, with much less it does not, and the estimate says so.
#include <filesystem>
#include <fstream>

#include "support.hpp"

namespace engine_tests {
namespace {

Engine engine_within(uint64_t budget) {
    return make_engine([&](orr_engine_options& o) { o.memory_budget_bytes = budget; });
}

// What estimates and runs are made of: a folder or a file.
struct Files {
    std::string path;
    orr_model_options options() const {
        orr_model_options o{};
        o.header = ORR_HEADER(orr_model_options);
        o.path = path.c_str();
        return o;
    }
    orr_estimate estimate(orr_engine* engine, int64_t context) const {
        const orr_model_options o = options();
        orr_estimate e{};
        e.header = ORR_HEADER(orr_estimate);
        check(orr_model_estimate(engine, &o, context, &e));
        return e;
    }
    Model open(orr_engine* engine) const {
        const orr_model_options o = options();
        orr_model* model = nullptr;
        check(orr_model_open(engine, &o, &model));
        return Model(model);
    }
};

Files golden_files(const std::string& name) { return {golden_folder(name) + (name.ends_with("_gguf") ? "/model.gguf" : "")}; }

// A folder of golden/ with another configuration.
Files changed_files(const std::string& name, const Json& change) {
    const std::string folder = scratch("estimate_" + name);
    std::filesystem::create_directories(folder);
    const Checkpoint c = Checkpoint::golden(name, change);
    std::ofstream(folder + "/config.json") << c.config.dump();
    std::ofstream(folder + "/model.safetensors", std::ios::binary) << c.safetensors();
    return {folder};
}

// The options that a host leaves alone.
Session default_session(const Model& model, int64_t context) {
    return make_session(model, [&](orr_session_options& o) {
        o.threads = 0;
        o.numerics = ORR_NUMERICS_DEFAULT;
        o.cache_type = nullptr;
        o.context = context;
    });
}

// A prompt of `tokens` in chunks of at most 512, then some tokens one by one: what text generation does.
void generate(const Session& session, int64_t tokens) {
    const std::vector<int32_t> ids = some_ids(static_cast<size_t>(tokens), 40);
    for (size_t at = 0; at < ids.size(); at += 512) feed(session, part(ids, at, std::min(ids.size(), at + 512)));
    for (int32_t id = 1; id < 5; id++) feed(session, {id});
}

uint64_t sum(const orr_estimate& e) { return e.weight_bytes + e.state_bytes + e.workspace_bytes; }

struct Case {
    const char* name;
    int64_t context, tokens;  // tokens 0: the default entry is warmed up, for as many tokens as the context holds
    Json change;
};
void PrintTo(const Case& c, std::ostream* out) { *out << c.name << " context " << c.context << " tokens " << c.tokens; }

class Estimate : public testing::TestWithParam<Case> {};

TEST_P(Estimate, IsWhatARunTakes) {
    const Case& c = GetParam();
    const Files files = c.change.is_null() ? golden_files(c.name) : changed_files(c.name, c.change);
    const auto run = [&](orr_engine* engine) {
        const Model model = files.open(engine);
        const Session session = default_session(model, c.context);
        if (c.tokens) generate(session, c.tokens);
        else check(orr_session_warm_up(session.get(), nullptr, std::max<int64_t>(c.context, 1)));
    };
    const uint64_t need = sum(files.estimate(engine_within(uint64_t{1} << 40).get(), c.context));
    {
        const Engine just = engine_within(need);
        EXPECT_TRUE(files.estimate(just.get(), c.context).fits);
        EXPECT_NO_THROW(run(just.get())) << "an estimate of " << need << " bytes";
    }
    EXPECT_FALSE(files.estimate(engine_within(need - 1).get(), c.context).fits);
    const Engine less = engine_within(need * 7 / 10);
    EXPECT_FALSE(files.estimate(less.get(), c.context).fits);
    expect_failure([&] { run(less.get()); }, ORR_OUT_OF_MEMORY, {"budget"});
}

const Json kLong = {{"max_position_embeddings", 4000}};

INSTANTIATE_TEST_SUITE_P(Cases, Estimate,
                         testing::Values(Case{"llama", 128, 100, {}}, Case{"llama", 3000, 600, kLong}, Case{"llama_gguf", 128, 100, {}}, Case{"llama_bf16_llama3_gguf", 64, 30, {}},
                                         Case{"mistral_window", 128, 100, {}}, Case{"mistral_window", 3000, 600, kLong}, Case{"gemma3", 3000, 1200, kLong}, Case{"gpt2", 32, 20, {}},
                                         Case{"qwen3_moe", 128, 100, {}}, Case{"qwen3_moe", 1000, 600, kLong}, Case{"mixtral", 1000, 513, kLong}, Case{"mamba", 0, 600, {}}, Case{"mamba_gguf", 0, 512, {}},
                                         Case{"bert", 32, 0, {}}, Case{"roberta", 16, 0, {}}, Case{"vit_classifier", 0, 0, {}}, Case{"swin_padded", 0, 0, {}}, Case{"patchtst_model", 0, 0, {}}),
                         [](const auto& info) { return std::string(info.param.name) + "_" + std::to_string(info.param.tokens); });

// An encoder that writes states which the other entries read.
TEST(Estimate, OfAnEncoderAndItsDecoder) {
    const Files files = golden_files("whisper");
    const auto run = [&](orr_engine* engine) {
        const Model model = files.open(engine);
        const Session session = default_session(model, 12);
        const Tensors all = read_tensors(files.path + "/inputs.safetensors");
        model_tests::run(session, {{"input_features", all.at("input_features").cut(0, 0, 1)}}, "encode");
        for (const std::vector<int32_t>& ids : {std::vector<int32_t>{1, 2, 3, 4, 5}, {6}, {7}}) {
            Tensors input;
            input["decoder_input_ids"] = ids_tensor(ids);
            model_tests::run(session, input, "next");
        }
    };
    const uint64_t need = sum(files.estimate(engine_within(uint64_t{1} << 40).get(), 12));
    EXPECT_NO_THROW(run(engine_within(need).get()));
    expect_failure([&] { run(engine_within(need * 7 / 10).get()); }, ORR_OUT_OF_MEMORY, {"budget"});
}

TEST(Estimate, EveryModelHasOne) {
    for (const std::string& name : golden()) {
        SCOPED_TRACE(name);
        const Files files = golden_files(name);
        EXPECT_TRUE(files.estimate(shared_engine(), 0).fits);
        EXPECT_GT(files.estimate(shared_engine(), 0).weight_bytes, 0u);
    }
}

TEST(Estimate, CountsStatesAndHoldsNothing) {
    const Engine engine = engine_within(uint64_t{1} << 40);
    const Files files = golden_files("llama");
    const orr_estimate e = files.estimate(engine.get(), 128);
    EXPECT_EQ(e.state_bytes, 2u * 2 * 2 * 6 * 128 * 2);  // two layers, keys and values, 2 heads of 6, 128 tokens, f16
    EXPECT_EQ(files.estimate(engine.get(), 64).state_bytes, e.state_bytes / 2);
    EXPECT_EQ(files.estimate(engine.get(), 0).state_bytes, e.state_bytes);  // the model's own context
    EXPECT_EQ(about(engine.get(), "capabilities")["memory_used_bytes"], 0);
    const Files window = changed_files("mistral_window", kLong);
    EXPECT_EQ(window.estimate(engine.get(), 3000).state_bytes, window.estimate(engine.get(), 2000).state_bytes);
    EXPECT_LE(files.estimate(engine_within(50'000).get(), 128).available_bytes, 50'000u);
    expect_failure([&] { files.estimate(engine.get(), 129); }, ORR_LIMIT, {"129", "128"});
    expect_failure([&] { files.estimate(engine.get(), -1); }, ORR_LIMIT, {"-1"});
}

}  // namespace
}  // namespace engine_tests
