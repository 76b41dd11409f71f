// Entries, states and refusals of the language architectures.
#include <gtest/gtest.h>

#include "support.hpp"

namespace model_tests {
namespace {

constexpr double kTolerance = 1e-4;

Tensors inputs_of(const std::string& name) { return read_tensors(golden_folder(name) + "/inputs.safetensors"); }
Tensors outputs_of(const std::string& name) { return read_tensors(golden_folder(name) + "/outputs.safetensors"); }

// [B, T, V] -> [B, V] of the last token.
Tensor last_token(const Tensor& logits) {
    Tensor t = logits.cut(1, logits.shape[1] - 1, logits.shape[1]);
    t.shape = {t.shape[0], t.shape[2]};
    return t;
}

void expect_refused(const std::string& name, const Json& change, const std::vector<std::string>& parts) {
    SCOPED_TRACE(name + " " + change.dump());
    Json config = Json::parse(read_file(golden_folder(name) + "/config.json"));
    config.merge_patch(change);
    try {
        const Model model = open_changed(golden_folder(name), config);
        Tensors inputs = inputs_of(name);
        run(open_session(model, {.batch = inputs.at("input_ids").shape[0]}), inputs);
        FAIL() << "nothing failed";
    } catch (const Failure& failure) {
        for (const auto& part : parts) EXPECT_NE(std::string(failure.what()).find(part), std::string::npos) << failure.what() << " lacks " << part;
    }
}

class Decoder : public testing::TestWithParam<std::string> {};

TEST_P(Decoder, NextIsTheLastTokenOfForward) {
    const Tensor ids = inputs_of(GetParam()).at("input_ids");
    const Model model = open_model(golden_folder(GetParam()));
    const Tensors got = run(open_session(model, {.batch = ids.shape[0]}), {{"input_ids", ids}}, "next");
    EXPECT_LE(difference(got.at("logits"), last_token(outputs_of(GetParam()).at("logits"))), kTolerance);
}

TEST_P(Decoder, PartsGiveWhatTheWholeGives) {
    const Tensor ids = inputs_of(GetParam()).at("input_ids"), want = outputs_of(GetParam()).at("logits");
    const int64_t length = ids.shape[1];
    const Model model = open_model(golden_folder(GetParam()));
    const Session session = open_session(model, {.batch = ids.shape[0]});
    int64_t at = 0;
    for (const int64_t count : {int64_t{4}, int64_t{1}, int64_t{3}, length - 9}) {
        const Tensors got = run(session, {{"input_ids", ids.cut(1, at, at + count)}});
        EXPECT_LE(difference(got.at("logits"), want.cut(1, at, at + count)), 2 * kTolerance) << "tokens from " << at;
        at += count;
        EXPECT_EQ(orr_session_position(session.get()), at);
    }
    const Tensors next = run(session, {{"input_ids", ids.cut(1, at, at + 1)}}, "next");
    EXPECT_LE(difference(next.at("logits"), last_token(want)), kTolerance);
}

TEST_P(Decoder, ABatchGivesTheBitsOfItsRows) {
    const Tensor ids = inputs_of(GetParam()).at("input_ids");
    const Model model = open_model(golden_folder(GetParam()));
    const Tensor both = run(open_session(model, {.batch = 2}), {{"input_ids", ids}}).at("logits");
    for (int64_t row = 0; row < 2; row++) {
        const Tensor one = run(open_session(model, {.batch = 1}), {{"input_ids", ids.cut(0, row, row + 1)}}).at("logits");
        EXPECT_EQ(one.bytes, both.cut(0, row, row + 1).bytes) << "row " << row;
    }
}

INSTANTIATE_TEST_SUITE_P(Cases, Decoder,
                         testing::Values("llama", "llama_gguf", "mistral_window", "qwen2_window", "qwen3", "qwen3_moe", "mixtral", "gemma2", "gemma3",
                                         "gemma3_width_gguf", "phi3", "olmo2", "gpt2", "mamba", "mamba_gguf"),
                         [](const auto& info) { return info.param; });

TEST(Llama, NamedValuesCanBeRead) {
    const Tensors inputs = inputs_of("llama");
    const Model model = open_model(golden_folder("llama"));
    const std::vector<std::string> paths = {"embed.output",          "layers.0.mixer.q",    "layers.0.mixer.k", "layers.0.mixer.context",
                                            "layers.0.mixer.output", "layers.1.ffn.output", "layers.1.output",  "norm.output"};
    const Tensors got = run(open_session(model, {.batch = 2}), inputs, nullptr, paths);
    EXPECT_EQ(got.at("embed.output").shape, (std::vector<int64_t>{2, 13, 24}));
    EXPECT_EQ(got.at("layers.0.mixer.q").shape, (std::vector<int64_t>{2, 13, 4, 6}));
    EXPECT_EQ(got.at("layers.0.mixer.k").shape, (std::vector<int64_t>{2, 13, 2, 6}));
    EXPECT_EQ(got.at("layers.0.mixer.context").shape, (std::vector<int64_t>{2, 13, 24}));
    EXPECT_EQ(got.at("layers.1.output").shape, (std::vector<int64_t>{2, 13, 24}));
}

// The residual stream is the sum of what the halves hand to it.
TEST(Gemma3, HalvesSumToTheStream) {
    const Model model = open_model(golden_folder("gemma3"));
    const std::vector<std::string> paths = {"embed.output", "layers.0.mixer.output", "layers.0.ffn.output", "layers.0.output"};
    const Tensors got = run(open_session(model, {.batch = 2}), inputs_of("gemma3"), nullptr, paths);
    const auto x = got.at(paths[0]).floats(), mixer = got.at(paths[1]).floats(), ffn = got.at(paths[2]).floats(), sum = got.at(paths[3]).floats();
    for (size_t i = 0; i < sum.size(); i++) EXPECT_NEAR(sum[i], x[i] + mixer[i] + ffn[i], 1e-4);
}

// Vectors of tokens that see what follows: no next token, nothing kept between runs.
TEST(Gemma3, BothWaysIsNoGenerator) {
    const Model model = open_model(golden_folder("gemma3_bidirectional"));
    orr_task* task = nullptr;
    try {
        check(orr_task_create(model.get(), "text_generation", nullptr, &task));
        orr_task_release(task);
        FAIL() << "a task was made";
    } catch (const Failure& failure) {
        EXPECT_NE(std::string(failure.what()).find("does not do task \"text_generation\"; it does embedding"), std::string::npos) << failure.what();
    }
    const Session session = open_session(model, {.batch = 2});
    const Tensors inputs = inputs_of("gemma3_bidirectional");
    const Tensor first = run(session, inputs).at("last_hidden_state");
    EXPECT_EQ(orr_session_position(session.get()), 0);
    EXPECT_EQ(run(session, inputs).at("last_hidden_state").bytes, first.bytes);
}

// Without a head, but causal: a sequence may come in parts.
TEST(Gemma3, HeadlessContinues) {
    const Tensor ids = inputs_of("gemma3_headless").at("input_ids").cut(0, 0, 1),
                 want = outputs_of("gemma3_headless").at("last_hidden_state").cut(0, 0, 1);
    const Model model = open_model(golden_folder("gemma3_headless"));
    const Session session = open_session(model, {.batch = 1});
    for (const auto& [from, to] : {std::pair<int64_t, int64_t>{0, 8}, {8, ids.shape[1]}})
        EXPECT_LE(difference(run(session, {{"input_ids", ids.cut(1, from, to)}}).at("last_hidden_state"), want.cut(1, from, to)), 2 * kTolerance);
}

TEST(Roberta, PaddingIsNotCounted) {
    // Counted positions given by hand are the same as those that the model counts.
    Tensors inputs = inputs_of("roberta");
    const std::vector<int64_t> ids = inputs.at("input_ids").integers();
    const int64_t length = inputs.at("input_ids").shape[1];
    Tensor positions = inputs.at("input_ids");
    std::vector<int64_t> values;
    for (size_t i = 0; i < ids.size(); i++) {
        int64_t seen = 0;
        for (size_t j = i - i % static_cast<size_t>(length); j <= i; j++) seen += ids[j] != 1;
        values.push_back(ids[i] == 1 ? 1 : seen + 1);
    }
    ASSERT_EQ(positions.bytes.size(), values.size() * sizeof(int64_t));
    positions.bytes.assign(reinterpret_cast<const char*>(values.data()), reinterpret_cast<const char*>(values.data() + values.size()));
    const Model model = open_model(golden_folder("roberta"));
    const Session session = open_session(model, {.batch = 2});
    const Tensor counted = run(session, inputs).at("last_hidden_state");
    inputs["position_ids"] = positions;
    EXPECT_EQ(run(session, inputs).at("last_hidden_state").bytes, counted.bytes);
}

TEST(LanguageRefusals, TensorsAreNamed) {
    expect_refused("llama", {{"num_hidden_layers", 3}}, {"model.layers.2."});
    expect_refused("llama", {{"attention_bias", true}}, {"model.layers.0.self_attn.q_proj.bias"});
    expect_refused("llama", {{"vocab_size", 50}}, {"model.embed_tokens.weight", "41", "50"});
    expect_refused("llama", {{"intermediate_size", 40}}, {"model.layers.0.mlp.gate_proj.weight", "36", "40"});
    expect_refused("mixtral", {{"num_local_experts", 5}}, {"model.layers.0.block_sparse_moe.", "5"});
    expect_refused("gemma3", {{"head_dim", 16}}, {"model.layers.0.self_attn.q_proj.weight", "48", "64"});
    expect_refused("gpt2", {{"n_inner", 50}}, {"transformer.h.0.mlp.c_fc.weight", "50", "96"});
    expect_refused("mamba", {{"state_size", 7}}, {"backbone.layers.0.mixer.x_proj.weight", "14", "16"});
    expect_refused("bert", {{"type_vocab_size", 3}}, {"embeddings.token_type_embeddings.weight", "2", "3"});
}

TEST(LanguageRefusals, ConfigurationsAreNamed) {
    expect_refused("llama", {{"hidden_act", "softsign"}}, {"hidden_act", "softsign", "silu"});
    expect_refused("llama", {{"num_attention_heads", 5}}, {"num_attention_heads", "5", "num_key_value_heads", "2"});
    expect_refused("llama", {{"head_dim", nullptr}, {"hidden_size", 26}}, {"hidden_size", "26", "num_attention_heads", "4"});
    expect_refused("llama", {{"head_dim", 7}}, {"rotary width 7"});
    expect_refused("llama", {{"hidden_size", "wide"}}, {"hidden_size", "wide"});
    expect_refused("llama", {{"hidden_size", nullptr}}, {"hidden_size", "missing"});
    expect_refused("llama", {{"num_hidden_layers", 0}}, {"num_hidden_layers", "0"});
    expect_refused("llama", {{"num_hidden_layers", 1000000000}}, {"num_hidden_layers", "1000000000"});
    expect_refused("llama", {{"rms_norm_eps", -1.0}}, {"rms_norm_eps", "-1"});
    expect_refused("llama", {{"rope_parameters", {{"rope_type", "spiral"}}}}, {"rope_parameters.rope_type", "spiral", "llama3"});
    expect_refused("llama", {{"rope_parameters", {{"rope_type", "linear"}}}}, {"rope_parameters.factor", "missing"});
    expect_refused("llama", {{"rope_parameters", {{"rope_type", "llama3"}, {"factor", 8.0}, {"low_freq_factor", 4.0}, {"high_freq_factor", 4.0}}}},
                   {"high_freq_factor", "low_freq_factor"});
    expect_refused("phi3_longrope", {{"rope_parameters", {{"long_factor", {1.0, 2.0}}}}}, {"long_factor", "2", "3"});
    expect_refused("gemma3", {{"layer_types", {"full_attention", "full_attention"}}}, {"layer_types", "2", "3"});
    expect_refused("gemma3", {{"layer_types", {"full_attention", "chunked_attention", "full_attention"}}}, {"layer_types", "chunked_attention"});
    expect_refused("gemma3", {{"use_bidirectional_attention", true}},
                   {"use_bidirectional_attention", "Gemma3ForCausalLM", "no next token", "Gemma3TextModel"});
    expect_refused("gemma3_bidirectional", {{"sliding_window", 1}}, {"sliding_window", "1", "2"});
    expect_refused("mixtral", {{"num_experts_per_tok", 5}}, {"5", "4"});
    expect_refused("gpt2", {{"n_head", 5}}, {"n_embd", "24", "n_head", "5"});
    expect_refused("gpt2", {{"add_cross_attention", true}}, {"add_cross_attention"});
    expect_refused("mamba", {{"hidden_act", "gelu"}}, {"hidden_act", "gelu"});
    expect_refused("bert", {{"position_embedding_type", "relative_key"}}, {"position_embedding_type", "relative_key"});
    expect_refused("bert", {{"num_attention_heads", 5}}, {"24", "num_attention_heads", "5"});
    expect_refused("mpnet", {{"max_position_embeddings", 2000000000}}, {"max_position_embeddings", "2000000000", "32"});
    expect_refused("mamba", {{"expand", 1e300}}, {"expand", "hidden_size"});
    expect_refused("llama", {{"head_dim", 2000000000}}, {"head_dim", "2000000000"});
    expect_refused("mixtral", {{"num_hidden_layers", 10000}, {"num_local_experts", 65536}}, {"model.layers."});
    expect_refused("mpnet", {{"relative_attention_num_buckets", 16}}, {"relative_attention_num_buckets", "16", "32"});
}

}  // namespace
}  // namespace model_tests
