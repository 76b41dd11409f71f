// What a host or a checkpoint may get wrong: each its own clear error, and everything goes on working.
#include "support.hpp"

namespace engine_tests {
namespace {

constexpr int32_t kVocabulary = 41;

class BadInput : public testing::Test {
  protected:
    void TearDown() override { EXPECT_EQ(feed(session_, {1}).elements(), kVocabulary) << "the session does not work any more"; }
    void expect(const Tensors& inputs, orr_status status, const std::vector<std::string>& parts, const char* entry = "next", const std::vector<std::string>& outputs = {}) {
        const int64_t before = orr_session_position(session_.get());
        expect_failure([&] { run(session_, inputs, entry, outputs); }, status, parts);
        EXPECT_EQ(orr_session_position(session_.get()), before);
    }
    Model model_ = open_golden("llama");
    Session session_ = make_session(model_);
    Tensor ids_ = ids_tensor({1, 2, 3});
};

TEST_F(BadInput, Names) {
    expect({{"input_ids", ids_}}, ORR_NOT_FOUND, {"backwards", "forward"}, "backwards");
    expect({{"inputs", ids_}}, ORR_INVALID_ARGUMENT, {"inputs", "input_ids"});
    expect({{"input_ids", ids_}}, ORR_NOT_FOUND, {"layers.7.output"}, "next", {"layers.7.output"});
    expect({}, ORR_INVALID_ARGUMENT, {"input_ids"});
}

TEST_F(BadInput, GivenTwice) {
    const orr_named_tensor tensor = named("input_ids", ids_);
    const orr_named_tensor* const twice[] = {&tensor, &tensor};
    expect_failure([&] { check(orr_session_run(session_.get(), "next", 2, twice, 0, nullptr)); }, ORR_INVALID_ARGUMENT, {"input_ids", "given twice"});
}

TEST_F(BadInput, WarmUpBeyondTheContext) {
    const Session small = make_session(model_, [](orr_session_options& o) { o.context = 20; });
    expect_failure([&] { check(orr_session_warm_up(small.get(), "next", 21)); }, ORR_LIMIT, {"21", "20"});
    check(orr_session_warm_up(small.get(), "next", 20));
}

TEST_F(BadInput, TaskOnASessionOfAnotherModel) {
    const Model other = open_golden("gemma3");
    orr_task* task = nullptr;
    expect_failure([&] { check(orr_task_create(other.get(), "text_generation", session_.get(), &task)); }, ORR_INVALID_ARGUMENT, {"another model", "llama"});
    check(orr_task_create(model_.get(), "text_generation", session_.get(), &task));
    orr_task_release(task);
}

TEST_F(BadInput, Shapes) {
    Tensor flat = ids_;
    flat.shape = {3};
    expect({{"input_ids", flat}}, ORR_INVALID_ARGUMENT, {"input_ids", "rank 1"});
    Tensor two = ids_tensor({1, 2});
    two.shape = {2, 1};
    expect({{"input_ids", two}}, ORR_INVALID_ARGUMENT, {"2 sequences", "1"});
    expect({{"input_ids", ids_tensor({})}}, ORR_INVALID_ARGUMENT, {"input_ids"});
    Tensor shorter = ids_;
    shorter.bytes.resize(8);
    expect({{"input_ids", shorter}}, ORR_INVALID_ARGUMENT, {"input_ids", "8", "12"});
    Tensor negative = ids_;
    negative.shape = {1, -3};
    expect({{"input_ids", negative}}, ORR_INVALID_ARGUMENT, {"input_ids", "-3"});
    Tensor real{ORR_TYPE_F32, {1, 3}, std::vector<char>(12)};
    expect({{"input_ids", real}}, ORR_INVALID_ARGUMENT, {"input_ids"});
}

TEST_F(BadInput, IdsOutsideTheVocabulary) {
    expect({{"input_ids", ids_tensor({1, kVocabulary})}}, ORR_INVALID_ARGUMENT, {"41"});
    expect({{"input_ids", ids_tensor({-1})}}, ORR_INVALID_ARGUMENT, {"-1"});
}

TEST_F(BadInput, BeyondTheContext) {
    feed(session_, some_ids(100, kVocabulary));
    expect({{"input_ids", ids_tensor(some_ids(29, kVocabulary))}}, ORR_LIMIT, {"129", "128", "100"});
    expect_failure([&] { make_session(model_, [](orr_session_options& o) { o.context = 129; }); }, ORR_LIMIT, {"129", "128"});
    expect_failure([&] { make_session(model_, [](orr_session_options& o) { o.context = -1; }); }, ORR_INVALID_ARGUMENT, {"-1"});
}

TEST_F(BadInput, OutParametersAreLeftAlone) {
    auto* const mark = reinterpret_cast<orr_model*>(&model_);
    orr_model* model = mark;
    orr_model_options options{};
    options.header = ORR_HEADER(orr_model_options);
    options.path = "/nowhere/at/all";
    EXPECT_NE(orr_model_open(shared_engine(), &options, &model), ORR_OK);
    EXPECT_EQ(model, mark);
    auto* const session_mark = reinterpret_cast<orr_session*>(&model_);
    orr_session* session = session_mark;
    EXPECT_EQ(orr_session_create(nullptr, nullptr, &session), ORR_INVALID_ARGUMENT);
    EXPECT_EQ(session, session_mark);
    EXPECT_EQ(orr_session_create(model_.get(), nullptr, nullptr), ORR_INVALID_ARGUMENT);
    EXPECT_EQ(orr_model_open(nullptr, &options, &model), ORR_INVALID_ARGUMENT);
    EXPECT_EQ(orr_session_run(session_.get(), nullptr, 1, nullptr, 0, nullptr), ORR_INVALID_ARGUMENT);
}

void expect_checkpoint(Checkpoint& checkpoint, orr_status status, const std::vector<std::string>& parts) {
    expect_failure([&] { feed(make_session(checkpoint.open()), {1}); }, status, parts);
}

TEST(BadCheckpoint, Architecture) {
    Checkpoint c = Checkpoint::golden("llama", {{"architectures", {"UnheardOfModel"}}, {"model_type", "unheard_of"}});
    expect_checkpoint(c, ORR_UNSUPPORTED, {"UnheardOfModel", "LlamaForCausalLM"});
}

TEST(BadCheckpoint, Tensors) {
    const std::string name = "model.layers.0.mlp.up_proj.weight";
    Checkpoint missing = Checkpoint::golden("llama"), wrong = Checkpoint::golden("llama"), extra = Checkpoint::golden("llama");
    missing.tensors.erase(name);
    expect_failure([&] { missing.open(); }, ORR_NOT_FOUND, {name});
    wrong.tensors.at(name).shape = {24, 36};
    expect_failure([&] { wrong.open(); }, ORR_INVALID_ARGUMENT, {name, "24", "36"});
    extra.tensors["left.over"] = extra.tensors.at(name);
    expect_failure([&] { extra.open(); }, ORR_INVALID_ARGUMENT, {"left.over [36, 24]", "is not used by llama"});
    extra.tensors["left.over.too"] = extra.tensors.at(name);
    expect_failure([&] { extra.open(); }, ORR_INVALID_ARGUMENT, {"left.over [36, 24] and 1 more are"});
    extra.allow_extra_tensors = true;
    EXPECT_SAME_BITS(feed(make_session(extra.open()), {1}), feed(make_session(Checkpoint::golden("llama").open()), {1}));
    extra.allow_extra_tensors = false;
    extra.tensors.erase("left.over");
    extra.tensors.erase("left.over.too");
    extra.tensors["model.layers.0.self_attn.rotary_emb.inv_freq"] = extra.tensors.at("model.norm.weight");  // a buffer of older checkpoints
    feed(make_session(extra.open()), {1});
}

TEST(BadCheckpoint, FewerLayersThanTheTensors) {
    Checkpoint c = Checkpoint::golden("llama", {{"num_hidden_layers", 1}});
    expect_failure([&] { c.open(); }, ORR_INVALID_ARGUMENT, {"model.layers.1.", "8 more are not used by llama"});
}

// A class that nobody knows is not run as its family's language model.
TEST(BadCheckpoint, UnknownClassOfAKnownFamily) {
    Checkpoint c = Checkpoint::golden("llama", {{"architectures", {"LlamaForSequenceClassification"}}, {"model_type", "llama"}});
    expect_checkpoint(c, ORR_UNSUPPORTED, {"LlamaForSequenceClassification", "LlamaForCausalLM"});
    Checkpoint unnamed = Checkpoint::golden("llama", {{"architectures", nullptr}, {"model_type", "llama"}});
    unnamed.open();
}

}  // namespace
}  // namespace engine_tests
