// LoRA adapters: what PEFT gives on the same models (golden/<case>/adapters.json), nothing left where there are none, and what cannot be is refused.
#include "adapters.hpp"

#include <cmath>
#include <cstdio>
#include <cstring>
#include <filesystem>

namespace engine_tests {
namespace {

constexpr double kTolerance = 1e-4;  // of the expected value's standard deviation

struct Case {
    const char *model, *adapters, *device;
};

class Adapters : public testing::TestWithParam<Case> {
  public:
    // The figures of GiveWhatPeftGives, whatever was asked for.
    static void TearDownTestSuite() {
        for (const auto& [device, worst] : worst_)
            std::printf("adapters on %s: at most %.2g of the outputs' deviation from PEFT, float weights (%s)\n", device.c_str(), worst.first, worst.second.c_str());
    }

  protected:
    static inline std::map<std::string, std::pair<double, std::string>> worst_;  // by device: difference, case
    void SetUp() override {
        if (!usable(device())) GTEST_SKIP() << "no Vulkan device";
        folder_ = golden_folder(GetParam().adapters);
        model_ = open_golden(GetParam().model, nullptr, GetParam().device);
        inputs_ = read_tensors(folder_ + "/inputs.safetensors");
    }
    std::string device() const { return GetParam().device; }
    Session session(const ChangeSession& change = {}) const {
        return make_session(model_, [&](orr_session_options& o) {
            o.batch = inputs_.begin()->second.shape[0];
            if (change) change(o);
        });
    }
    Adapter adapter(const std::string& name) const { return open_adapter(model_, folder_ + "/adapters/" + name); }
    std::string folder_;
    Model model_;
    Tensors inputs_;
};

TEST_P(Adapters, GiveWhatPeftGives) {
    const Json steps = Json::parse(read_file(folder_ + "/adapters.json"));
    const Tensors values = read_tensors(folder_ + "/adapters.safetensors");
    ASSERT_FALSE(steps.empty());
    // Of weights in blocks, a device's products differ from the processor's by 9e-5 without adapters too.
    const double tolerance = device() == "vulkan" && std::string(GetParam().model) == "llama_quantised_adapters" ? 5 * kTolerance : kTolerance;
    const Session s = session();
    const Tensors plain = run(s, inputs_);
    for (const Json& step : steps) {
        std::deque<Adapter> open;
        std::vector<const Adapter*> adapters;
        std::vector<double> scales;
        for (const Json& a : step["adapters"]) {
            adapters.push_back(&open.emplace_back(adapter(a[0])));
            scales.push_back(a[1]);
        }
        check(orr_session_reset(s.get()));
        set_adapters(s, adapters, scales);
        const Tensors got = run(s, inputs_);
        EXPECT_FALSE(got.empty());
        for (const auto& [name, key] : step["outputs"].items()) {
            if (name == "pooler_output" && !got.contains(name)) continue;  // converters leave it out
            const double d = difference(got.at(name), values.at(key));
            EXPECT_LE(d, tolerance) << key;
            auto& worst = worst_[device()];
            if (tolerance == kTolerance && d >= worst.first) worst = {d, std::string(GetParam().model) + " " + key.get<std::string>()};
            EXPECT_GT(difference(plain.at(name), values.at(key)), 0.01) << key;
        }
    }
}

TEST_P(Adapters, NothingIsLeftWhereNoneTakesPart) {
    const Session s = session(), plain = session();
    const Tensors want = run(plain, inputs_);
    const std::string name = Json::parse(read_file(folder_ + "/adapters.json"))[0]["adapters"][0][0];
    const Adapter a = adapter(name);
    for (const bool zero : {true, false}) {
        check(orr_session_reset(s.get()));
        set_adapters(s, {&a});
        run(s, inputs_);
        EXPECT_FALSE(description(s, "plan", "steps") == description(plain, "plan", "steps"));
        check(orr_session_reset(s.get()));
        if (zero)
            set_adapters(s, {&a}, {0});
        else
            set_adapters(s, {});
        const Tensors got = run(s, inputs_);
        for (const auto& [output, tensor] : want) EXPECT_SAME_BITS(got.at(output), tensor);
        EXPECT_TRUE(description(s, "plan", "steps") == description(plain, "plan", "steps"));
    }
}

TEST_P(Adapters, AnotherScaleNeedsNoNewPlan) {
    int planned = 0;
    const Session s = session([&](orr_session_options& o) {
        o.progress_user = &planned;
        o.progress = [](void* user, double, const char* what) {
            *static_cast<int*>(user) += std::string(what).find("running") == std::string::npos;
            return true;
        };
    });
    const Adapter a = adapter(Json::parse(read_file(folder_ + "/adapters.json"))[0]["adapters"][0][0]);
    set_adapters(s, {&a}, {0.5});
    const Tensors half = run(s, inputs_);
    EXPECT_GT(planned, 0);
    planned = 0;
    check(orr_session_reset(s.get()));
    set_adapters(s, {&a}, {-1.5});
    const Tensors other = run(s, inputs_);
    check(orr_session_reset(s.get()));
    set_adapters(s, {&a}, {0.5});
    const Tensors again = run(s, inputs_);
    EXPECT_EQ(planned, 0);
    for (const auto& [name, tensor] : half) {
        EXPECT_SAME_BITS(again.at(name), tensor);
        EXPECT_FALSE(other.at(name).bytes == tensor.bytes) << name;
    }
}

std::vector<Case> cases() {
    static constexpr std::pair<const char*, const char*> pairs[] = {{"llama", "llama"},
                                                                    {"gpt2", "gpt2"},
                                                                    {"bert", "bert"},
                                                                    {"vit_classifier", "vit_classifier"},
                                                                    {"llama_gguf", "llama"},
                                                                    {"gpt2_gguf", "gpt2"},
                                                                    {"bert_gguf", "bert"},
                                                                    {"llama_quantised_adapters", "llama_quantised_adapters"},
                                                                    {"gemma3", "gemma3_tables_adapters"},
                                                                    {"gpt2", "gpt2_tables_adapters"},
                                                                    {"gpt2_gguf", "gpt2_tables_adapters"},
                                                                    {"whisper", "whisper_convolutions_adapters"},
                                                                    {"swin_classifier", "swin_blocks_adapters"},
                                                                    {"llama", "llama_norms_adapters"},
                                                                    {"vit_classifier", "vit_convolutions_adapters"},
                                                                    {"clip_vision_projected", "clip_convolutions_adapters"},
                                                                    {"mixtral", "mixtral_experts_adapters"},
                                                                    {"mixtral_gguf", "mixtral_experts_adapters"},
                                                                    {"qwen3_moe", "qwen3_moe_experts_adapters"},
                                                                    {"qwen3_moe_gguf", "qwen3_moe_experts_adapters"},
                                                                    {"llama", "llama_dora_adapters"},
                                                                    {"llama_gguf", "llama_dora_adapters"},
                                                                    {"gpt2", "gpt2_dora_adapters"},
                                                                    {"bert", "bert_dora_adapters"},
                                                                    {"bert_gguf", "bert_dora_adapters"}};
    std::vector<Case> all;
    for (const auto& [model, adapters] : pairs)
        for (const char* device : {"cpu", "vulkan"}) all.push_back({model, adapters, device});
    return all;
}

INSTANTIATE_TEST_SUITE_P(Cases, Adapters, testing::ValuesIn(cases()), [](const auto& info) {
    const bool same = std::string(info.param.model).rfind(info.param.adapters, 0) == 0;
    return info.param.model + (same ? std::string() : "_with_" + std::string(info.param.adapters)) + "_" + info.param.device;
});

class AdaptedDecoding : public testing::TestWithParam<const char*> {
  protected:
    void SetUp() override {
        if (std::string(GetParam()) == "vulkan" && kThreadSanitizer) GTEST_SKIP() << "drivers are not instrumented";
        if (std::string(GetParam()) == "vulkan" && !has_vulkan()) GTEST_SKIP() << "no Vulkan device";
        model_ = open_golden("llama", nullptr, GetParam());
        a_ = open_adapter(model_, golden_folder("llama") + "/adapters/attention");
        b_ = open_adapter(model_, golden_folder("llama") + "/adapters/patterns");
    }
    Model model_;
    Adapter a_, b_;
    const std::vector<int32_t> ids_ = some_ids(12, 41);
};
INSTANTIATE_TEST_SUITE_P(Devices, AdaptedDecoding, testing::Values("cpu", "vulkan"), [](const auto& info) { return std::string(info.param); });

TEST_P(AdaptedDecoding, IsWhatPrefillIs) {
    const Session whole = make_session(model_), stepped = make_session(model_);
    for (const Session* s : {&whole, &stepped}) set_adapters(*s, {&a_, &b_}, {1, -0.5});
    const Tensor want = feed(whole, ids_);
    Tensor got;
    for (const int32_t id : ids_) got = feed(stepped, {id});
    EXPECT_LE(difference(got, want), kTolerance);
}

TEST_P(AdaptedDecoding, TokensInTheStatesKeepTheirAdapters) {
    const Session s = make_session(model_), fresh = make_session(model_);
    feed(s, part(ids_, 0, 4));
    expect_failure([&] { set_adapters(s, {&a_}); }, ORR_INVALID_ARGUMENT, {"stands at token 4", "reset", "ORR_ADAPTERS_KEEP_STATES"});
    set_adapters(s, {});  // which is what there is
    EXPECT_EQ(feed(s, {ids_[4]}).bytes, [&] {
        feed(fresh, part(ids_, 0, 4));
        return feed(fresh, {ids_[4]}).bytes;
    }());
    set_adapters(s, {&a_}, {}, ORR_ADAPTERS_KEEP_STATES);
    const Tensor mixed = feed(s, {ids_[5]});
    check(orr_session_reset(fresh.get()));
    set_adapters(fresh, {&a_});
    feed(fresh, part(ids_, 0, 5));
    const Tensor adapted = feed(fresh, {ids_[5]});
    EXPECT_GT(difference(mixed, adapted), 1e-3);  // its past is another
    const Session forked = fork(s);
    EXPECT_SAME_BITS(feed(forked, {ids_[6]}), feed(s, {ids_[6]}));
    check(orr_session_reset(s.get()));
    feed(s, part(ids_, 0, 5));
    EXPECT_SAME_BITS(feed(s, {ids_[5]}), adapted);
    expect_failure([&] { set_adapters(s, {&a_}, {2}); }, ORR_INVALID_ARGUMENT, {"stands at token 6"});  // a scale is another adapter
    expect_failure([&] { set_adapters(s, {&a_}, {1}, 6); }, ORR_INVALID_ARGUMENT, {"flags 6"});
}

TEST_P(AdaptedDecoding, ABatchOfSessionsHasTheSameAdapters) {
    const Session a = make_session(model_), b = make_session(model_), alone = make_session(model_);
    for (const Session* s : {&a, &b, &alone}) set_adapters(*s, {&a_}, {0.5});
    Tensor ids{ORR_TYPE_I32, {2, 1}, std::vector<char>(8)};
    std::memcpy(ids.bytes.data(), &ids_[0], 4);
    std::memcpy(ids.bytes.data() + 4, &ids_[1], 4);
    const orr_named_tensor input = named("input_ids", ids);
    const orr_named_tensor* inputs[] = {&input};
    orr_session* sessions[] = {a.get(), b.get()};
    check(orr_session_run_batch(2, sessions, "next", 1, inputs, 0, nullptr));
    orr_named_tensor logits{};
    logits.header = ORR_HEADER(orr_named_tensor);
    check(orr_session_output(a.get(), "logits", &logits));
    const auto want = feed(alone, {ids_[0]}).floats();
    EXPECT_EQ(std::memcmp(logits.data, want.data(), want.size() * sizeof(float)), 0);
    set_adapters(b, {&a_}, {0.25}, ORR_ADAPTERS_KEEP_STATES);
    expect_failure([&] { check(orr_session_run_batch(2, sessions, "next", 1, inputs, 0, nullptr)); }, ORR_INVALID_ARGUMENT, {"the same adapters", "session 1"});
}

TEST_P(AdaptedDecoding, TapsAndControlsSeeThem) {
    const Session s = make_session(model_), plain = make_session(model_);
    set_adapters(s, {&a_});
    orr_tap tap{};
    tap.header = ORR_HEADER(orr_tap);
    tap.path = "layers.0.mixer.output";
    const orr_tap* taps[] = {&tap};
    for (const Session* each : {&s, &plain}) check(orr_session_set_taps(each->get(), 1, taps));
    const Tensors input = {{"input_ids", ids_tensor(ids_)}};
    const Tensors got = run(s, input), want = run(plain, input);
    EXPECT_GT(difference(got.at("layers.0.mixer.output"), want.at("layers.0.mixer.output")), 0.01);
    check(orr_session_set_taps(s.get(), 0, nullptr));
    check(orr_session_reset(s.get()));
    const Tensors without = run(s, input);
    EXPECT_LE(difference(without.at("logits"), got.at("logits")), kTolerance);
    // Layer 0 twice: its adapter is there twice.
    check(orr_session_reset(s.get()));
    check(orr_session_set_control(s.get(), "layer_plan", "\"0*2\""));
    const Tensors twice = run(s, input);
    EXPECT_GT(difference(twice.at("logits"), without.at("logits")), 0.01);
}

TEST_P(AdaptedDecoding, MemoryIsGivenBack) {
    const auto used = [&] {
        const Session s = make_session(model_);
        return Json::parse(describe(s, "memory"))["engine_used_bytes"].get<int64_t>();
    };
    const Session s = make_session(model_);
    feed(s, ids_);
    check(orr_session_reset(s.get()));
    const int64_t before = used();
    Tensor adapted;
    {
        const Adapter own = open_adapter(model_, golden_folder("llama") + "/adapters/attention");
        set_adapters(s, {&own});
    }
    adapted = feed(s, ids_);  // the session holds it
    EXPECT_GT(used(), before);
    check(orr_session_reset(s.get()));
    set_adapters(s, {});
    const Tensor plain = feed(s, ids_);
    EXPECT_GT(difference(adapted, plain), 0.01);
    check(orr_session_trim(s.get()));
    feed(s, ids_);
    EXPECT_EQ(used(), before);
}

// The attention adapter of llama, changed.
class RefusedAdapters : public testing::Test {
  protected:
    void expect_refused(orr_status status, const std::vector<std::string>& parts) {
        Checkpoint c;
        c.tensors = tensors_;
        const std::string bytes = c.safetensors(), config = config_.is_string() ? config_.get<std::string>() : config_.dump();
        expect_failure([&] { open_adapter(model_, config, bytes); }, status, parts);
        config_ = original_;
        tensors_ = original_tensors_;
    }
    const std::string folder_ = golden_folder("llama") + "/adapters/attention";
    const Model model_ = open_golden("llama");
    const Json original_ = Json::parse(read_file(folder_ + "/adapter_config.json"));
    const Tensors original_tensors_ = read_tensors(folder_ + "/adapter_model.safetensors");
    Json config_ = original_;
    Tensors tensors_ = original_tensors_;
    const std::string q_ = "base_model.model.model.layers.0.self_attn.q_proj.";
};

TEST_F(RefusedAdapters, AskForWhatIsNotDone) {
    config_["bias"] = "some";
    expect_refused(ORR_UNSUPPORTED, {"\"bias\"", "some", "lora_only"});
    config_["modules_to_save"] = "lm_head";
    expect_refused(ORR_CORRUPT, {"modules_to_save", "lm_head", "a list"});
    config_["init_lora_weights"] = "pissa_niter_4";
    expect_refused(ORR_UNSUPPORTED, {"init_lora_weights", "pissa_niter_4"});
    config_["lora_bias"] = true;
    expect_refused(ORR_UNSUPPORTED, {"lora_bias"});
    config_["alora_invocation_tokens"] = {1, 2};
    expect_refused(ORR_UNSUPPORTED, {"alora_invocation_tokens"});
    config_["peft_type"] = "IA3";
    expect_refused(ORR_UNSUPPORTED, {"ia3", "lora"});
    config_["trainable_token_indices"] = {1, 2};
    expect_refused(ORR_UNSUPPORTED, {"trainable_token_indices"});
    tensors_["base_model.model.lm_head.weight"] = tensors_.at(q_ + "lora_A.weight");
    expect_refused(ORR_UNSUPPORTED, {"lm_head.weight", "none that \"lora\" adapters have", "adapter_model.safetensors"});
    tensors_[q_ + "lora_magnitude_vector"] = {ORR_TYPE_F32, {24}, std::vector<char>(24 * 4)};
    expect_refused(ORR_INVALID_ARGUMENT, {"self_attn.q_proj", "lora_magnitude_vector", "use_dora"});
    // The model's own head under another value.
    tensors_["base_model.model.lm_head.base_layer.weight"] = read_tensors(golden_folder("llama") + "/model.safetensors").at("model.embed_tokens.weight");
    tensors_["base_model.model.lm_head.lora_A.weight"] = tensors_.at(q_ + "lora_A.weight");
    tensors_["base_model.model.lm_head.lora_B.weight"] = {ORR_TYPE_F32, {41, 4}, std::vector<char>(41 * 4 * 4)};
    expect_refused(ORR_UNSUPPORTED, {"lm_head.base_layer.weight", "another weight than lm_head.weight"});
}

TEST_F(RefusedAdapters, DoNotFit) {
    tensors_[q_ + "lora_A.weight"] = {ORR_TYPE_F32, {4, 25}, std::vector<char>(4 * 25 * 4)};
    expect_refused(ORR_INVALID_ARGUMENT, {"adapter_model.safetensors", q_ + "lora_A.weight", "[4, 25]", "[4, 24]", "model.layers.0.self_attn.q_proj.weight", "[24, 24]"});
    tensors_[q_ + "lora_B.weight"] = {ORR_TYPE_F32, {23, 4}, std::vector<char>(23 * 4 * 4)};
    expect_refused(ORR_INVALID_ARGUMENT, {q_ + "lora_B.weight", "[23, 4]", "[24, 4]"});
    tensors_[q_ + "lora_B.weight"] = {ORR_TYPE_F32, {24, 5}, std::vector<char>(24 * 5 * 4)};
    expect_refused(ORR_INVALID_ARGUMENT, {q_ + "lora_B.weight", "[24, 5]", "rank 4"});
    config_["r"] = 8;
    expect_refused(ORR_INVALID_ARGUMENT, {"lora_A.weight", "[4, 24]", "[8, any]", "rank 8"});
    config_["rank_pattern"] = {{"layers.0.self_attn.q_proj", 2}};
    expect_refused(ORR_INVALID_ARGUMENT, {q_ + "lora_A.weight", "rank 2"});
    tensors_.erase(q_ + "lora_B.weight");
    expect_refused(ORR_NOT_FOUND, {"model.layers.0.self_attn.q_proj", "lora_B.weight"});
    tensors_["base_model.model.model.layers.7.self_attn.q_proj.lora_A.weight"] = tensors_.at(q_ + "lora_A.weight");
    tensors_["base_model.model.model.layers.7.self_attn.q_proj.lora_B.weight"] = tensors_.at(q_ + "lora_B.weight");
    expect_refused(ORR_NOT_FOUND, {"layers.7.self_attn.q_proj", "no weight"});
    tensors_["base_model.model.model.embed_tokens.lora_A.weight"] = tensors_.at(q_ + "lora_A.weight");
    tensors_["base_model.model.model.embed_tokens.lora_B.weight"] = tensors_.at(q_ + "lora_B.weight");
    expect_refused(ORR_UNSUPPORTED, {"model.embed_tokens", "orr.embedding/1", "lora_embedding_A for embeddings"});
    config_["use_dora"] = true;
    expect_refused(ORR_NOT_FOUND, {"model.layers.0.self_attn.", "lora_magnitude_vector", "use_dora"});
    const std::string table = "base_model.model.model.embed_tokens.lora_embedding_";
    tensors_[table + "A"] = {ORR_TYPE_F32, {4, 41}, std::vector<char>(4 * 41 * 4)};
    expect_refused(ORR_NOT_FOUND, {"model.embed_tokens", "lora_embedding_B"});
    tensors_[table + "A"] = {ORR_TYPE_F32, {4, 40}, std::vector<char>(4 * 40 * 4)};
    tensors_[table + "B"] = {ORR_TYPE_F32, {24, 4}, std::vector<char>(24 * 4 * 4)};
    expect_refused(ORR_INVALID_ARGUMENT, {table + "A", "[4, 40]", "[4, 41]", "model.embed_tokens.weight", "[41, 24]"});
    config_["modules_to_save"] = {"lm_head"};
    tensors_["base_model.model.lm_head.weight"] = {ORR_TYPE_F32, {40, 24}, std::vector<char>(40 * 24 * 4)};
    expect_refused(ORR_INVALID_ARGUMENT, {"base_model.model.lm_head.weight", "[40, 24]", "[41, 24]", "lm_head.weight of the model"});
    config_["bias"] = "all";
    tensors_["base_model.model.model.layers.0.self_attn.q_proj.bias"] = {ORR_TYPE_F32, {24}, std::vector<char>(24 * 4)};
    expect_refused(ORR_NOT_FOUND, {"q_proj.bias", "the model has no bias", "model.layers.0.self_attn.q_proj"});
    tensors_["base_model.model.model.norm.lora_A.weight"] = tensors_.at(q_ + "lora_A.weight");
    tensors_["base_model.model.model.norm.lora_B.weight"] = tensors_.at(q_ + "lora_B.weight");
    expect_refused(ORR_UNSUPPORTED, {"model.norm", "orr.rms_norm/1"});
    tensors_[q_ + "lora_A.weight"].type = ORR_TYPE_I32;
    expect_refused(ORR_UNSUPPORTED, {q_ + "lora_A.weight", "i32", "f32, f16 or bf16"});
}

// One tensor of a case's adapter with another shape.
void expect_unfit(const char* model, const std::string& adapter, const std::string& tensor, const std::vector<int64_t>& shape, orr_status status, std::vector<std::string> said) {
    const std::string folder = golden_folder(adapter.substr(0, adapter.find('/'))) + adapter.substr(adapter.find('/'));
    Checkpoint c;
    c.tensors = read_tensors(folder + "/adapter_model.safetensors");
    int64_t count = 4;
    for (const int64_t n : shape) count *= n;
    ASSERT_TRUE(c.tensors.contains("base_model.model." + tensor)) << tensor;
    c.tensors["base_model.model." + tensor] = {ORR_TYPE_F32, shape, std::vector<char>(static_cast<size_t>(count))};
    said.push_back("adapter_model.safetensors");
    const Model opened = open_golden(model);
    expect_failure([&] { open_adapter(opened, read_file(folder + "/adapter_config.json"), c.safetensors()); }, status, said);
}

TEST(UnfitAdapters, OfConvolutionsAndExperts) {
    const std::string patches = "vit.embeddings.patch_embeddings.projection.lora_", stacked = "model.layers.0.mlp.experts.lora_", old = "model.layers.0.block_sparse_moe.experts.2.w1.lora_";
    expect_unfit("vit_classifier", "vit_convolutions_adapters/adapters/patches", patches + "A.weight", {3, 3, 4, 5}, ORR_INVALID_ARGUMENT,
                 {patches + "A.weight", "[3, 3, 4, 5]", "[3, 3, 4, 4]", "[24, 3, 4, 4]"});
    expect_unfit("vit_classifier", "vit_convolutions_adapters/adapters/patches", patches + "B.weight", {24, 3}, ORR_INVALID_ARGUMENT, {patches + "B.weight", "[24, 3]", "[24, 3, 1, 1]"});
    expect_unfit("mixtral", "mixtral_experts_adapters/adapters/parameters", stacked + "A.weight", {12, 21}, ORR_INVALID_ARGUMENT,
                 {stacked + "A.weight", "[12, 21]", "gate_up_proj [4, 40, 24]", "down_proj [4, 24, 20]"});
    expect_unfit("mixtral", "mixtral_experts_adapters/adapters/parameters", stacked + "A.weight", {11, 20}, ORR_INVALID_ARGUMENT, {stacked + "A.weight", "[11, 20]", "[12, any]", "4 experts"});
    expect_unfit("mixtral", "mixtral_experts_adapters/adapters/modules", old + "A.weight", {3, 23}, ORR_UNSUPPORTED, {old + "A.weight", "[3, 23]", "[3, 24]", "same stack"});
    expect_unfit("mixtral", "mixtral_experts_adapters/adapters/modules", old + "B.weight", {20, 2}, ORR_INVALID_ARGUMENT, {old + "B.weight", "[20, 2]", "rank 3"});
}

TEST(UnfitAdapters, OfAnotherKindOfModule) {
    const std::string folder = golden_folder("mixtral_experts_adapters") + "/adapters/modules", q = "base_model.model.model.layers.0.block_sparse_moe.experts.";
    Checkpoint c;
    c.tensors = read_tensors(folder + "/adapter_model.safetensors");
    for (const int x : {0, 1, 2, 3})
        for (const char* w : {"w1", "w2", "w3"}) {
            const int64_t rows = std::string(w) == "w2" ? 24 : 20;
            c.tensors[q + std::to_string(x) + "." + w + ".lora_magnitude_vector"] = {ORR_TYPE_F32, {rows}, std::vector<char>(static_cast<size_t>(rows) * 4)};
        }
    std::erase_if(c.tensors, [&](const auto& t) { return t.first.rfind(q, 0) != 0; });
    Json config = Json::parse(read_file(folder + "/adapter_config.json"));
    config["use_dora"] = true;
    expect_failure([&] { open_adapter(open_golden("mixtral"), config.dump(), c.safetensors()); }, ORR_UNSUPPORTED, {"use_dora", "stacks of experts", "experts.0.w"});
    Checkpoint both;
    both.tensors = read_tensors(golden_folder("gemma3_tables_adapters") + "/adapters/table/adapter_model.safetensors");
    both.tensors["base_model.model.model.embed_tokens.lora_A.weight"] = {ORR_TYPE_F32, {3, 24}, std::vector<char>(3 * 24 * 4)};
    expect_failure([&] { open_adapter(open_golden("gemma3"), read_file(golden_folder("gemma3_tables_adapters") + "/adapters/table/adapter_config.json"), both.safetensors()); },
                   ORR_INVALID_ARGUMENT, {"model.embed_tokens", "lora_embedding_A", "lora_A.weight"});
}

// Experts that no tensor is for stay as they are: a stack with one expert's adapter is that of all with zeros for the others.
TEST(PartialAdapters, OfOneExpert) {
    const std::string folder = golden_folder("mixtral_experts_adapters") + "/adapters/modules", config = read_file(folder + "/adapter_config.json");
    Checkpoint zeros, one;
    for (const auto& [name, tensor] : read_tensors(folder + "/adapter_model.safetensors")) {
        const bool kept = name.find(".experts.1.") != std::string::npos;
        if (kept) one.tensors[name] = tensor;
        zeros.tensors[name] = tensor;
        if (!kept) std::fill(zeros.tensors[name].bytes.begin(), zeros.tensors[name].bytes.end(), 0);
    }
    const Model model = open_golden("mixtral");
    const Tensors inputs = read_tensors(golden_folder("mixtral") + "/inputs.safetensors");
    const auto run_with = [&](const Checkpoint& c) {
        const Adapter a = open_adapter(model, config, c.safetensors());
        const Session s = make_session(model, [&](orr_session_options& o) { o.batch = inputs.begin()->second.shape[0]; });
        set_adapters(s, {&a});
        return run(s, inputs).at("logits");
    };
    const Tensor got = run_with(one), want = run_with(zeros);
    EXPECT_LE(difference(got, want), kTolerance);
    const Session plain = make_session(model, [&](orr_session_options& o) { o.batch = inputs.begin()->second.shape[0]; });
    EXPECT_GT(difference(got, run(plain, inputs).at("logits")), 0.01);
}

// What one adapter puts in a weight's place, no other of the session may be for.
TEST(SavedModules, OfTwoAdapters) {
    const Model model = open_golden("llama");
    const Adapter saved = open_adapter(model, golden_folder("llama_dora_adapters") + "/adapters/saved"), head = open_adapter(model, golden_folder("llama") + "/adapters/head");
    const Adapter again = open_adapter(model, golden_folder("llama_dora_adapters") + "/adapters/saved");
    const Session s = make_session(model);
    for (const Adapter* other : {&head, &again})
        expect_failure(
            [&] {
                set_adapters(s, {&saved, other});
                feed(s, {3, 1, 4});
            },
            ORR_CONFLICT, {"lm_head", "takes the place", "adapter_model.safetensors"});
    set_adapters(s, {&saved});
    const Tensor whole = feed(s, {3, 1, 4});
    check(orr_session_reset(s.get()));
    set_adapters(s, {});
    const Session plain = make_session(model);
    EXPECT_SAME_BITS(feed(s, {3, 1, 4}), feed(plain, {3, 1, 4}));
    check(orr_session_reset(plain.get()));
    EXPECT_GT(difference(whole, feed(plain, {3, 1, 4})), 0.01);
}

TEST_F(RefusedAdapters, AreBroken) {
    config_ = "[1]";
    expect_refused(ORR_CORRUPT, {"adapter_config.json"});
    config_ = "{ nonsense";
    expect_refused(ORR_CORRUPT, {"adapter_config.json"});
    config_.erase("peft_type");
    expect_refused(ORR_CORRUPT, {"peft_type"});
    config_["r"] = 0;
    expect_refused(ORR_CORRUPT, {"\"r\"", "0", "1"});
    config_["r"] = "many";
    expect_refused(ORR_CORRUPT, {"\"r\"", "many"});
    config_["lora_alpha"] = 1e308;
    expect_refused(ORR_INVALID_ARGUMENT, {"lora_alpha", "1e+308", "rank 4"});
    config_["use_rslora"] = "yes";
    expect_refused(ORR_CORRUPT, {"use_rslora", "yes", "true or false"});
    const float nan = std::nanf("");
    std::memcpy(&tensors_.at(q_ + "lora_B.weight").bytes[4 * sizeof(float)], &nan, sizeof nan);
    expect_refused(ORR_CORRUPT, {"adapter_model.safetensors", q_ + "lora_B.weight", "not finite", "index 4"});
    config_["rank_pattern"] = {{"(((", 2}};
    expect_refused(ORR_CORRUPT, {"rank_pattern", "((("});
    config_["alpha_pattern"] = {{std::string(600, 'a'), 2}};
    expect_refused(ORR_LIMIT, {"alpha_pattern", "600", "512"});
    config_["rank_pattern"] = {{"(a*)*(a*)*(a*)*b", 2}, {"(.*.*.*.*.*.*)*x", 3}};  // in no time
    EXPECT_TRUE(open_adapter(model_, config_.dump(), [&] {
        Checkpoint c;
        c.tensors = tensors_;
        return c.safetensors();
    }()));
    config_ = original_;
    tensors_.clear();
    expect_refused(ORR_CORRUPT, {"adapter_model.safetensors"});
    expect_failure([&] { open_adapter(model_, original_.dump(), "no safetensors"); }, ORR_CORRUPT, {"adapter_model.safetensors"});
    expect_failure([&] { open_adapter(model_, golden_folder("llama")); }, ORR_NOT_FOUND, {"adapter_config.json"});
    expect_failure([&] { open_adapter(model_, folder_ + "/nowhere"); }, ORR_NOT_FOUND, {"nowhere"});
    const std::string half = scratch("adapter");
    std::filesystem::create_directories(half);
    std::filesystem::copy_file(folder_ + "/adapter_config.json", half + "/adapter_config.json", std::filesystem::copy_options::overwrite_existing);
    expect_failure([&] { open_adapter(model_, half); }, ORR_NOT_FOUND, {"adapter_model.safetensors"});
}

TEST_F(RefusedAdapters, AreSetWrongly) {
    const Adapter a = open_adapter(model_, folder_);
    const Model other = open_golden("llama");
    const Session s = make_session(model_), elsewhere = make_session(other);
    expect_failure([&] { set_adapters(elsewhere, {&a}); }, ORR_INVALID_ARGUMENT, {"another model"});
    expect_failure([&] { set_adapters(s, {&a}, {NAN}); }, ORR_INVALID_ARGUMENT, {"scale", "nan"});
    expect_failure([&] { set_adapters(s, {&a, &a}); }, ORR_INVALID_ARGUMENT, {"adapters 0 and 1"});
    const Adapter none;
    expect_failure([&] { set_adapters(s, {&none}); }, ORR_INVALID_ARGUMENT, {"adapters[i] is NULL"});
    orr_text* text = nullptr;
    check(orr_adapter_describe(a.get(), &text));
    const Json told = Json::parse(orr_text_data(text));
    orr_text_release(text);
    EXPECT_EQ(told["kind"], "lora");
    EXPECT_EQ(told["modules"].size(), 8u);
    EXPECT_EQ(told["modules"][0]["factor"], 1.5);
}

}  // namespace
}  // namespace engine_tests
