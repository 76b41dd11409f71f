// The embedding task: pooling against hand-derived values, recipes of checkpoints, and the whole on fake_host.hpp, where
// token t with id i has the vector {t, i, 1}.
#include <gtest/gtest.h>

#include <cmath>
#include <nlohmann/json.hpp>

#include "fake_host.hpp"
#include "orrery/plugin.hpp"
#include "plugins/language/tasks/embedding/embedder.hpp"
#include "plugins/language/tasks/embedding/pooling.hpp"
#include "plugins/language/tasks/embedding/recipe.hpp"

const orr_task_kind* orr_task_embedding();

namespace orrery::embedding {
namespace {

using nlohmann::json;

std::vector<float> pooled(const std::vector<Pooling>& modes) {
    const float hidden[] = {1, -2, 3, 4, 5, -6};  // three tokens, width 2
    std::vector<float> v;
    pool(modes, hidden, 3, 2, v);
    return v;
}

TEST(Pooling, ByHand) {
    EXPECT_EQ(pooled({Pooling::kCls}), (std::vector<float>{1, -2}));
    EXPECT_EQ(pooled({Pooling::kLastToken}), (std::vector<float>{5, -6}));
    EXPECT_EQ(pooled({Pooling::kMax}), (std::vector<float>{5, 4}));
    EXPECT_EQ(pooled({Pooling::kMean}), (std::vector<float>{3, -4.0f / 3}));
    EXPECT_EQ(pooled({Pooling::kWeightedMean}), (std::vector<float>{22.0f / 6, -2}));
    EXPECT_FLOAT_EQ(pooled({Pooling::kMeanSqrtLength})[0], 9 / std::sqrt(3.0f));
    EXPECT_EQ(pooled({Pooling::kCls, Pooling::kMax}), (std::vector<float>{1, -2, 5, 4}));
}

TEST(Pooling, Normalises) {
    std::vector<float> v = {3, -4}, zero = {0, 0};
    normalise(v);
    normalise(zero);
    EXPECT_FLOAT_EQ(v[0], 0.6f);
    EXPECT_FLOAT_EQ(v[1], -0.8f);
    EXPECT_EQ(zero[0], 0);
}

TEST(Embedding, LowersCaseByUnicode) {
    EXPECT_EQ(lower_case("ABC xyz ÄÖÜ ΣΑ Ж"), "abc xyz äöü σα ж");
    EXPECT_EQ(lower_case("\xc4\xb0"), "i\xcc\x87");
    EXPECT_EQ(lower_case("A\xff"
                         "B"),
              "a\xff"
              "b");
}

TEST(Embedding, TruncatesInsideTheSpecialTokens) {
    const std::vector<int32_t> ids = {101, 1, 2, 3, 4, 102}, plain = {1, 2, 3, 4};
    EXPECT_EQ(truncate(ids, plain, 6), ids);
    EXPECT_EQ(truncate(ids, plain, 5), (std::vector<int32_t>{101, 1, 2, 3, 102}));
    EXPECT_EQ(truncate(ids, plain, 3), (std::vector<int32_t>{101, 1, 102}));
    EXPECT_EQ(truncate(ids, plain, 2), (std::vector<int32_t>{101, 1}));
    EXPECT_EQ(truncate(ids, plain, 0), ids);
}

class Recipes : public testing::Test {
  protected:
    void SetUp() override { fake::state = &state_; }
    Recipe read(int64_t context = 512) { return read_recipe(fake::files(), fake::checkpoint(), context); }
    std::string refusal() {
        try {
            read();
        } catch (const Error& e) {
            return e.what();
        }
        return "";
    }
    fake::State state_;
};

constexpr const char* kModules = R"([{"type": "sentence_transformers.models.Transformer", "path": ""},
    {"type": "sentence_transformers.models.Pooling", "path": "1_Pooling"}, {"type": "sentence_transformers.models.Normalize", "path": "2_Normalize"}])";

TEST_F(Recipes, PlainCheckpointIsTheMean) {
    const Recipe r = read();
    EXPECT_EQ(r.modes, std::vector<Pooling>{Pooling::kMean});
    EXPECT_FALSE(r.normalise);
    EXPECT_EQ(r.max_tokens, 512);
}

TEST_F(Recipes, SentenceTransformersFolder) {
    state_.files = {
        {"modules.json", kModules},
        {"1_Pooling/config.json", R"({"word_embedding_dimension": 4, "pooling_mode_cls_token": true, "pooling_mode_mean_tokens": false})"},
        {"sentence_bert_config.json", R"({"max_seq_length": 256, "do_lower_case": true})"},
        {"config_sentence_transformers.json", R"({"prompts": {"query": "q: "}, "default_prompt_name": "query"})"}};
    const Recipe r = read();
    EXPECT_EQ(r.modes, std::vector<Pooling>{Pooling::kCls});
    EXPECT_TRUE(r.normalise);
    EXPECT_EQ(r.max_tokens, 256);
    EXPECT_TRUE(r.lower_case);
    EXPECT_EQ(r.prompt, "q: ");
    EXPECT_EQ(read(128).max_tokens, 128);
    state_.files["1_Pooling/config.json"] = R"({"pooling_mode": ["max", "lasttoken"]})";
    EXPECT_EQ(read().modes, (std::vector<Pooling>{Pooling::kMax, Pooling::kLastToken}));
}

TEST_F(Recipes, RefusesByName) {
    state_.files = {{"modules.json", R"([{"type": "sentence_transformers.models.Dense", "path": "2_Dense"}])"}};
    EXPECT_NE(refusal().find("Dense"), std::string::npos);
    state_.files = {{"modules.json", kModules}};
    EXPECT_NE(refusal().find("1_Pooling/config.json"), std::string::npos);
    state_.files["1_Pooling/config.json"] = R"({"pooling_mode": "median"})";
    EXPECT_NE(refusal().find("median"), std::string::npos);
    state_.files["1_Pooling/config.json"] = "{";
    EXPECT_NE(refusal().find("JSON"), std::string::npos);
    state_.files = {{"sentence_bert_config.json", R"({"max_seq_length": 0})"}};
    EXPECT_NE(refusal().find("max_seq_length is 0"), std::string::npos);
}

TEST_F(Recipes, Gguf) {
    state_.format = "gguf";
    state_.config = R"({"general.architecture": "bert", "bert.pooling_type": 2})";
    EXPECT_EQ(read().modes, std::vector<Pooling>{Pooling::kCls});
    EXPECT_TRUE(read().normalise);
    state_.config = R"({"general.architecture": "bert", "bert.pooling_type": 4})";
    EXPECT_NE(refusal().find("bert.pooling_type is 4"), std::string::npos);
}

class EmbeddingTask : public testing::Test {
  protected:
    void SetUp() override { fake::state = &state_; }
    void TearDown() override {
        if (task_) kind_->destroy(task_);
    }
    orr_status run(const std::string& request) {
        if (!task_ && kind_->create(fake::host(), nullptr, nullptr, &task_) != ORR_OK) return ORR_INTERNAL;
        orr_text* text = nullptr;
        const orr_status status = kind_->run(task_, request.c_str(), nullptr, nullptr, &text);
        result_ = text ? json::parse(text->text) : json();
        delete text;
        return status;
    }
    fake::State state_;
    const orr_task_kind* kind_ = orr_task_embedding();
    void* task_ = nullptr;
    json result_;
};

TEST_F(EmbeddingTask, OneAndMany) {
    ASSERT_EQ(run(R"({"text": "ab"})"), ORR_OK);  // ids 256 97 98
    EXPECT_EQ(result_["vector"], (json{1.0, static_cast<float>((256 + 97 + 98) / 3.0), 1.0}));
    ASSERT_EQ(run(R"({"texts": ["", "a"]})"), ORR_OK);
    EXPECT_EQ(result_["vectors"], (json{{0.0, 256.0, 1.0}, {0.5, 176.5, 1.0}}));
}

TEST_F(EmbeddingTask, DecodersHaveAnotherName) {
    state_.hidden = "norm.output";
    ASSERT_EQ(run(R"({"text": "a"})"), ORR_OK);
    EXPECT_EQ(result_["vector"][1], 176.5);
}

TEST_F(EmbeddingTask, CutsLongTexts) {
    state_.files = {{"sentence_bert_config.json", R"({"max_seq_length": 4})"}};
    ASSERT_EQ(run(R"({"text": "abcdefgh"})"), ORR_OK);
    EXPECT_EQ(state_.session->runs[0], (std::vector<int32_t>{256, 'a', 'b', 'c'}));
}

TEST_F(EmbeddingTask, RefusesBadRequests) {
    for (const char* request :
         {"", "[]", "{}", R"({"text": 1})", R"({"texts": [1]})", R"({"texts": "a"})", R"({"txt": "a"})", R"({"text": "a", "texts": []})"})
        EXPECT_EQ(run(request), ORR_INVALID_ARGUMENT) << request;
    state_.adds_bos = false;
    EXPECT_EQ(run(R"({"text": ""})"), ORR_INVALID_ARGUMENT);
    EXPECT_EQ(run(R"({"text": "a"})"), ORR_OK);
}

}  // namespace
}  // namespace orrery::embedding
