// Drafts verified several tokens a run: rows of a run of up to eight tokens have the bits that runs of one token give, of every weight type, numerics and
// kind of cache, on the processor and on a device, and so answers with drafts are the answers without.
#include <bit>
#include <sstream>

#include "support.hpp"

namespace engine_tests {
namespace {

constexpr int32_t kVocabulary = 41;  // the smallest of the models'
constexpr int kMostRows = 8;

// A llama of random blocks of one type, in memory.
class Quantised {
  public:
    struct Type {
        const char* name;
        uint32_t number, elements, bytes;
        std::vector<uint32_t> scales;  // where f16 scales lie in a block
        double scale;
    };
    explicit Quantised(const Type& type) : type_(type), random_(type.number) {
        add("token_embd.weight", kRows, kWidth, kF32);
        add("output.weight", kRows, kWidth, type);
        norm("output_norm.weight");
        for (int i = 0; i < 2; i++) {
            const std::string p = "blk." + std::to_string(i) + ".";
            norm(p + "attn_norm.weight");
            norm(p + "ffn_norm.weight");
            add(p + "attn_q.weight", kWidth, kWidth, type);
            add(p + "attn_k.weight", kWidth / 2, kWidth, type);
            add(p + "attn_v.weight", kWidth / 2, kWidth, type);
            add(p + "attn_output.weight", kWidth, kWidth, type);
            add(p + "ffn_gate.weight", 2 * kWidth, kWidth, type);
            add(p + "ffn_up.weight", 2 * kWidth, kWidth, type);
            add(p + "ffn_down.weight", kWidth, 2 * kWidth, type);
        }
    }
    std::string file() {
        for (const auto& [key, value] : {std::pair{"general.architecture", "llama"}, {"tokenizer.ggml.model", "none"}}) key_of(key, 8), text(keys_, value);
        for (const auto& [key, value] : {std::pair<const char*, uint32_t>{"context_length", 512}, {"embedding_length", kWidth}, {"block_count", 2}, {"feed_forward_length", 2 * kWidth},
                                         {"attention.head_count", 4}, {"attention.head_count_kv", 2}, {"rope.dimension_count", kWidth / 4}, {"vocab_size", kRows}})
            key_of(std::string("llama.") + key, 4), number(keys_, value);
        for (const auto& [key, value] : {std::pair{"attention.layer_norm_rms_epsilon", 1e-5f}, {"rope.freq_base", 1e4f}}) key_of(std::string("llama.") + key, 6), number(keys_, value);
        std::string out = "GGUF";
        number(out, uint32_t{3});
        number(out, tensors_);
        number(out, count_);
        out += keys_ + infos_;
        out.resize((out.size() + 31) / 32 * 32);
        return out + data_;
    }

  private:
    static constexpr uint32_t kWidth = 256, kRows = 64;
    static const Type kF32;

    template <class T>
    static void number(std::string& to, T value) {
        to.append(reinterpret_cast<const char*>(&value), sizeof value);
    }
    static void text(std::string& to, const std::string& value) {
        number(to, static_cast<uint64_t>(value.size()));
        to += value;
    }
    void key_of(const std::string& name, uint32_t type) {
        text(keys_, name);
        number(keys_, type);
        count_++;
    }
    // Of a positive normal number.
    static uint16_t half(double x) {
        const auto bits = std::bit_cast<uint32_t>(static_cast<float>(x));
        return static_cast<uint16_t>((((bits >> 23) - 112) << 10) | ((bits >> 13) & 1023));
    }
    void norm(const std::string& name) { add(name, 1, kWidth, kF32, true); }
    void add(const std::string& name, uint32_t rows, uint32_t columns, const Type& type, bool vector = false) {
        text(infos_, name);
        number(infos_, vector ? 1u : 2u);
        number(infos_, static_cast<uint64_t>(columns));
        if (!vector) number(infos_, static_cast<uint64_t>(rows));
        number(infos_, type.number);
        number(infos_, static_cast<uint64_t>(data_.size()));
        tensors_++;
        std::normal_distribution<float> values(vector ? 1.0f : 0.0f, vector ? 0.1f : 1.0f);
        for (uint32_t block = 0; block < rows * columns / type.elements; block++) {
            if (type.number == 0) {
                number(data_, values(random_));
                continue;
            }
            const size_t at = data_.size();
            for (uint32_t i = 0; i < type.bytes; i++) data_ += static_cast<char>(random_());
            if (type.number == 39) data_[at] = static_cast<char>(type.scale);  // mxfp4: an exponent
            for (const uint32_t offset : type.scales) {
                const uint16_t scale = half(type.scale * (1 + 0.1 * static_cast<double>(random_() % 16)));
                std::memcpy(&data_[at + offset], &scale, sizeof scale);
            }
        }
        data_.resize((data_.size() + 31) / 32 * 32);
    }
    const Type type_;
    std::mt19937 random_;
    std::string keys_, infos_, data_;
    uint64_t tensors_ = 0, count_ = 0;
};
const Quantised::Type Quantised::kF32 = {"f32", 0, 1, 4, {}, 0};

// Blocks as gguf (PyPI, 0.17) has them in gguf.constants.GGML_QUANT_SIZES and gguf.quants.
const Quantised::Type kTypes[] = {{"q4_0", 2, 32, 18, {0}, 0.01},          {"q4_1", 3, 32, 20, {0, 2}, 0.01},        {"q5_0", 6, 32, 22, {0}, 0.005},
                                  {"q5_1", 7, 32, 24, {0, 2}, 0.005},      {"q8_0", 8, 32, 34, {0}, 0.0008},         {"q2_k", 10, 256, 84, {80, 82}, 0.004},
                                  {"q3_k", 11, 256, 110, {108}, 0.001},    {"q4_k", 12, 256, 144, {0, 2}, 0.0003},   {"q5_k", 13, 256, 176, {0, 2}, 0.0002},
                                  {"q6_k", 14, 256, 210, {208}, 0.0001},   {"iq4_nl", 20, 32, 18, {0}, 0.001},       {"iq4_xs", 23, 256, 136, {0}, 0.0001},
                                  {"mxfp4", 39, 32, 17, {}, 122}};

struct Where {
    std::string model, device;
};
void PrintTo(const Where& w, std::ostream* out) { *out << w.model << " on " << w.device; }

class Speculated : public testing::TestWithParam<Where> {
  protected:
    void SetUp() override {
        if (GetParam().device == "vulkan" && kThreadSanitizer) GTEST_SKIP() << "drivers are not instrumented";
        if (GetParam().device == "vulkan" && !has_vulkan()) GTEST_SKIP() << "no Vulkan device";
        for (const Quantised::Type& type : kTypes)
            if (GetParam().model == type.name) file_ = Quantised(type).file();
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
            for (const Json& speculate : {Json{{"lookup", 1}}, Json{{"lookup", 2}, {"draft", 3}}, Json{{"layer_plan", "0"}, {"draft", 4}}}) {
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
    for (const Quantised::Type& type : kTypes) all.push_back({type.name, "cpu"});
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
    // A layer that runs twice has states of its own, in which the prompt is not.
    refused("0*2", {"speculate.layer_plan \"0*2\"", "layers.0#2.mixer.k"});
    orr_text* value = nullptr;
    check(orr_task_run(task, R"({"ids": [1, 2], "speculate": {"layer_plan": "1"}})", nullptr, nullptr, &value));
    orr_text_release(value);
    orr_task_release(task);
}

}  // namespace
}  // namespace engine_tests
