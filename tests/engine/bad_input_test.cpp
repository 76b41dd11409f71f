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

// What a host of another version, or with a wrong struct_size, gives: every size is either refused with both numbers, or whole members alone are used.
template <class T>
void at_every_size(T whole, size_t least, const char* name, const std::function<orr_status(const T*)>& call) {
    for (uint32_t size = 0; size <= sizeof(T) + 8; size++) {
        SCOPED_TRACE(std::string(name) + ": " + std::to_string(size));
        alignas(T) char place[sizeof(T) + 8];
        std::memcpy(place, &whole, sizeof whole);
        std::memset(place + std::min<size_t>(size, sizeof(T)), 0x5a, sizeof place - std::min<size_t>(size, sizeof(T)));  // what lies behind is no member
        auto& given = *reinterpret_cast<T*>(place);
        given.header = {size, ORR_ABI_MAJOR, ORR_ABI_MINOR};
        if (size < least)
            expect_failure([&] { check(call(&given)); }, ORR_ABI_MISMATCH, {name, "struct_size is " + std::to_string(size), std::to_string(least)});
        else
            check(call(&given));
    }
}

TEST_F(BadInput, StructSizes) {
    orr_engine_options engine = {ORR_HEADER(orr_engine_options)};
    engine.cache_dir = "";
    engine.no_default_plugins = true;
    at_every_size<orr_engine_options>(engine, offsetof(orr_engine_options, isa) + 4, "orr_engine_options", [](const orr_engine_options* o) {
        orr_engine* made = nullptr;
        const orr_status status = orr_engine_create(o, &made);
        orr_engine_release(made);
        return status;
    });
    orr_session_options session = {ORR_HEADER(orr_session_options)};
    session.cache_type = "f32";
    at_every_size<orr_session_options>(session, offsetof(orr_session_options, profile) + 1, "orr_session_options", [&](const orr_session_options* o) {
        orr_session* made = nullptr;
        const orr_status status = orr_session_create(model_.get(), o, &made);
        orr_session_release(made);
        return status;
    });
    const std::string folder = golden_folder("llama");
    orr_model_options model = {ORR_HEADER(orr_model_options)};
    model.path = folder.c_str();
    model.device = "cpu";
    at_every_size<orr_model_options>(model, offsetof(orr_model_options, allow_extra_tensors), "orr_model_options", [](const orr_model_options* o) {
        orr_model* made = nullptr;
        const orr_status status = orr_model_open(shared_engine(), o, &made);
        orr_model_release(made);
        return status;
    });
    orr_blob blob = {ORR_HEADER(orr_blob), "config.json", "{}", 2};
    const orr_blob* const blobs[] = {&blob};
    model.path = nullptr;
    model.blobs = blobs;
    model.blob_count = 1;
    orr_model* made = nullptr;
    blob.header.struct_size = 20;
    expect_failure([&] { check(orr_model_open(shared_engine(), &model, &made)); }, ORR_ABI_MISMATCH, {"orr_blob", "20", "32"});
}

TEST_F(BadInput, StructSizesOfLimits) {
    orr_fit fit = {ORR_HEADER(orr_fit)};
    fit.weight_bytes = UINT64_MAX;
    at_every_size<orr_fit>(fit, sizeof(orr_fit), "orr_fit", [&](const orr_fit* f) { return orr_session_fit_control(session_.get(), "ffn_width", f, nullptr); });
}

TEST_F(BadInput, StructSizesOfTensorsAndTaps) {
    orr_tap tap = {ORR_HEADER(orr_tap), "layers.0.output", "read", 1, 0, nullptr, 0, 0, 0, 0};
    at_every_size<orr_tap>(tap, sizeof(orr_tap), "orr_tap", [&](const orr_tap* t) { return orr_session_set_taps(session_.get(), 1, &t); });
    const Tensor value{ORR_TYPE_F32, {1}, std::vector<char>(4)};
    const orr_named_tensor operand = named("operand", value), ids = named("input_ids", ids_);
    at_every_size<orr_named_tensor>(operand, offsetof(orr_named_tensor, buffer), "orr_tap.operand", [&](const orr_named_tensor* v) {
        tap.kind = "add";
        tap.operand = v;
        const orr_tap* const taps[] = {&tap};
        return orr_session_set_taps(session_.get(), 1, taps);
    });
    check(orr_session_set_taps(session_.get(), 0, nullptr));
    at_every_size<orr_named_tensor>(ids, offsetof(orr_named_tensor, buffer), "orr_named_tensor", [&](const orr_named_tensor* v) {
        check(orr_session_reset(session_.get()));
        return orr_session_run(session_.get(), "next", 1, &v, 0, nullptr);
    });
    orr_named_tensor out{};
    for (uint32_t size = 1; size <= sizeof out + 8; size++) {
        SCOPED_TRACE(size);
        alignas(orr_named_tensor) char place[sizeof out + 8];
        std::memset(place, 0x5a, sizeof place);
        auto& told = *reinterpret_cast<orr_named_tensor*>(place);
        told.header = {size, ORR_ABI_MAJOR, ORR_ABI_MINOR};
        if (size < offsetof(orr_named_tensor, buffer)) {
            expect_failure([&] { check(orr_session_output(session_.get(), "logits", &told)); }, ORR_ABI_MISMATCH, {"orr_named_tensor", std::to_string(size), "104"});
            continue;
        }
        check(orr_session_output(session_.get(), "logits", &told));
        EXPECT_EQ(told.shape[told.rank - 1], kVocabulary);
        for (size_t i = size < sizeof out ? offsetof(orr_named_tensor, buffer) : sizeof out; i < sizeof place; i++) EXPECT_EQ(place[i], '\x5a') << "byte " << i << " was written";
    }
}

}  // namespace
}  // namespace engine_tests
