// The control ffn_width: what PyTorch models give whose feed-forwards were cut (golden/<case>/ffn_width.json), alone and with adapters.
#include "random_llama.hpp"
#include "support.hpp"

namespace engine_tests {
namespace {

constexpr double kTolerance = 1e-4;  // of the expected value's standard deviation

void set_width(const Session& session, const char* json, const std::string& control = "ffn_width") { check(orr_session_set_control(session.get(), control.c_str(), json)); }

class FfnWidth : public GoldenOnDevice {};

TEST_P(FfnWidth, IsWhatCutWeightsGive) {
    const Json steps = Json::parse(read_file(folder_ + "/ffn_width.json"));
    const Tensors values = read_tensors(folder_ + "/ffn_width.safetensors");
    ASSERT_FALSE(steps.empty());
    const double tolerance = device() == "vulkan" && std::string(std::get<0>(GetParam())) == "llama_quantised_adapters" ? 5 * kTolerance : kTolerance;
    const Tensors plain = run(session(), inputs_);
    for (const Json& step : steps) {
        const Session s = session();
        set_width(s, step["value"].dump().c_str(), step["control"]);
        if (!step["adapter"].is_null()) {
            orr_model_options o{};
            o.header = ORR_HEADER(orr_model_options);
            const std::string path = folder_ + "/adapters/" + step["adapter"].get<std::string>();
            o.path = path.c_str();
            orr_adapter* adapter = nullptr;
            check(orr_adapter_open(model_.get(), &o, &adapter));
            const orr_status status = orr_session_set_adapters(s.get(), 1, &adapter, nullptr, 0);
            orr_adapter_release(adapter);
            check(status);
        }
        const Tensors got = run(s, inputs_);
        double change = 0;
        for (const auto& [name, key] : step["outputs"].items()) {
            EXPECT_LE(difference(got.at(name), values.at(key)), tolerance) << key;
            change = std::max(change, difference(plain.at(name), values.at(key)));
        }
        EXPECT_GT(change, 1e-3) << step["value"];
    }
}

TEST_P(FfnWidth, WholeIsThePlainModel) {
    const Session s = session(), plain = session();
    const std::string control = Json::parse(read_file(folder_ + "/ffn_width.json"))[0]["control"];
    const Tensors want = run(plain, inputs_);
    for (const char* whole : {"\"1\"", "1", "1.0", "\"0:1\"", static_cast<const char*>(nullptr)}) {
        check(orr_session_reset(s.get()));
        set_width(s, "0.5", control);
        run(s, inputs_);
        check(orr_session_reset(s.get()));
        set_width(s, whole, control);
        const Tensors got = run(s, inputs_);
        for (const auto& [name, tensor] : want) EXPECT_SAME_BITS(got.at(name), tensor);
        EXPECT_TRUE(description(s, "plan", "steps") == description(plain, "plan", "steps"));
    }
}

INSTANTIATE_TEST_SUITE_P(Cases, FfnWidth, testing::Combine(testing::Values("llama", "phi3", "gpt2", "bert", "vit_classifier", "swin_classifier", "patchtst_model", "clip_text", "whisper", "llama_quantised_adapters"), testing::Values("cpu", "vulkan")),
                         [](const auto& info) { return std::string(std::get<0>(info.param)) + "_" + std::get<1>(info.param); });

TEST(FfnWidthValues, ThatCannotBe) {
    const Model model = open_golden("llama"), experts = open_golden("qwen3_moe_dense_layer"), blocks = open_golden("llama_quantised_adapters");
    const Session s = make_session(model);
    const auto refused = [&](const char* json, const std::vector<std::string>& parts) { expect_failure([&] { set_width(s, json); }, ORR_INVALID_ARGUMENT, parts); };
    refused("37", {"ffn_width", "37", "36"});
    refused("\"0.5,1,1\"", {"ffn_width", "3 widths", "2 layers"});
    refused("0.0", {"ffn_width", "0.0"});
    refused("1.5", {"ffn_width", "1.5"});
    refused("-3", {"ffn_width", "-3"});
    refused("0.001", {"ffn_width", "0.001", "36"});
    refused("1e-9", {"ffn_width", "a share of 1e-09 of 36", "from 1/36 to 1"});
    refused("1e3", {"ffn_width", "1000.0", "no share above 0 up to 1"});
    refused("\"2:0.5\"", {"ffn_width", "2:0.5", "the most is 1"});
    refused("\"1-0:0.5\"", {"ffn_width", "1-0:0.5"});
    refused("\"0-1:0.5,1:0.25\"", {"ffn_width", "0-1:0.5", "1:0.25", "layer 1"});
    refused("\"half\"", {"ffn_width", "half"});
    refused("[0.5]", {"ffn_width", "[0.5]"});
    // 16 of 64 columns end inside of a block of 32.
    const Session q = make_session(blocks);
    expect_failure([&] { set_width(q, "0.25"); }, ORR_INVALID_ARGUMENT, {"16", "32", "q4_0", "blk.0.ffn_down.weight"});
    expect_failure([&] { set_width(make_session(experts), "0.5"); }, ORR_NOT_FOUND, {"ffn_width", "layer_plan"});
}

// ---- in place: a width reads the packed form of the whole weights

// Of files in memory, which must outlive it.
Model open_on(const std::string& device, const std::vector<orr_blob>& files) {
    std::vector<const orr_blob*> blobs;
    for (const orr_blob& file : files) blobs.push_back(&file);
    orr_model_options options{};
    options.header = ORR_HEADER(orr_model_options);
    options.blobs = blobs.data();
    options.blob_count = static_cast<uint32_t>(blobs.size());
    options.device = device.c_str();
    orr_model* model = nullptr;
    check(orr_model_open(shared_engine(), &options, &model));
    return Model(model);
}

const RandomLlama::Type& type_named(const std::string& name) {
    for (const RandomLlama::Type& type : RandomLlama::types())
        if (type.name == name) return type;
    return RandomLlama::kF32;
}

// Bytes that the weights take where they are multiplied.
uint64_t weight_bytes(const Session& session) {
    const Json memory = Json::parse(describe(session, "memory"));
    return memory["packed_weight_bytes"].get<uint64_t>() + memory["device_weight_bytes"].get<uint64_t>();
}

// Of a weight type and a device.
class FfnWidthInPlace : public testing::TestWithParam<std::tuple<std::string, std::string>> {
  protected:
    void SetUp() override {
        if (!usable(device())) GTEST_SKIP() << "no device " << device() << " works here";
    }
    std::string device() const { return std::get<1>(GetParam()); }
    const RandomLlama::Type& type() const { return type_named(std::get<0>(GetParam())); }
    // The last 256 columns are not whole where the type lets them be so: the packed form of a processor has a short end then.
    uint32_t units() const { return type().elements == 256 ? 512 : 608; }
    std::vector<uint32_t> widths() const {
        if (type().elements == 256) return {256};
        return device() == "cpu" ? std::vector<uint32_t>{544, 320, 32} : std::vector<uint32_t>{320};  // pipelines take a processor seconds
    }
    std::vector<uint32_t> numerics() const { return device() == "cpu" ? std::vector<uint32_t>{ORR_NUMERICS_DEFAULT, ORR_NUMERICS_EXACT, ORR_NUMERICS_FAST} : std::vector<uint32_t>{ORR_NUMERICS_DEFAULT}; }
};

TEST_P(FfnWidthInPlace, HasTheBitsOfAFileThatWasCut) {
    const std::string whole = RandomLlama(type(), units()).file();
    const Model model = open_on(device(), {blob_of("", whole)});
    const std::vector<int32_t> ids = some_ids(27, 60);
    for (const uint32_t width : widths()) {
        const std::string file = RandomLlama(type(), units(), width).file();
        const Model cut = open_on(device(), {blob_of("", file)});
        for (const uint32_t numerics : this->numerics()) {
            const auto as = [&](orr_session_options& o) { o.numerics = numerics, o.threads = 2; };
            const Session narrow = make_session(model, as), own = make_session(cut, as), plain = make_session(model, as);
            set_width(narrow, std::to_string(width).c_str());
            for (const auto& [from, to] : std::vector<std::pair<size_t, size_t>>{{0, 20}, {20, 23}, {23, 24}, {24, 27}}) {
                const Tensors tokens = {{"input_ids", ids_tensor(part(ids, from, to))}};
                const auto outputs = [&](const Session& s) { return run(s, tokens, "forward", {"layers.0.ffn.output", "layers.1.ffn.output", "logits"}); };
                const Tensors got = outputs(narrow), want = outputs(own), other = outputs(plain);
                for (const auto& [name, tensor] : want) EXPECT_SAME_BITS(got.at(name), tensor) << name << ", " << width << " units, numerics " << numerics << ", tokens from " << from;
                EXPECT_GT(difference(other.at("layers.0.ffn.output"), want.at("layers.0.ffn.output")), 1e-3);
            }
        }
    }
}

TEST_P(FfnWidthInPlace, TakesNoMemoryOfItsOwn) {
    const std::string file = RandomLlama(type(), units()).file();
    const auto open = [&] { return open_on(device(), {blob_of("", file)}); };
    uint64_t plain_bytes = 0;
    {
        const Model model = open();
        const Session plain = make_session(model);
        feed(plain, {1, 2, 3});
        plain_bytes = weight_bytes(plain);
        for (const uint32_t width : widths())
            for (const uint32_t other : widths()) {
                const Session narrow = make_session(model);
                set_width(narrow, ("\"" + std::to_string(width) + "," + std::to_string(other) + "\"").c_str());
                feed(narrow, {1, 2, 3});
                EXPECT_EQ(weight_bytes(narrow), plain_bytes) << width << ", " << other;
            }
    }
    // The other way round: the narrow one first, which nobody follows.
    const Model model = open();
    const Session narrow = make_session(model), plain = make_session(model);
    set_width(narrow, std::to_string(widths()[0]).c_str());
    feed(narrow, {1, 2, 3});
    EXPECT_LE(weight_bytes(narrow), plain_bytes);
    feed(plain, {1, 2, 3});
    EXPECT_EQ(weight_bytes(plain), plain_bytes);
}

std::vector<std::string> type_names() {
    std::vector<std::string> names = {"f32"};
    for (const RandomLlama::Type& type : RandomLlama::types()) names.push_back(type.name);
    return names;
}
std::string named_so(const testing::TestParamInfo<std::tuple<std::string, std::string>>& info) { return std::get<0>(info.param) + "_" + std::get<1>(info.param); }
INSTANTIATE_TEST_SUITE_P(Cpu, FfnWidthInPlace, testing::Combine(testing::ValuesIn(type_names()), testing::Values("cpu")), named_so);
INSTANTIATE_TEST_SUITE_P(Vulkan, FfnWidthInPlace, testing::Combine(testing::Values("f32", "q4_0", "q8_0", "q4_k"), testing::Values("vulkan")), named_so);

// Gate and up in one matrix: the second begins within it.
TEST(FfnWidthOfOneMatrix, LiesInIt) {
    constexpr int64_t kUnits = 64, kWidth = 32;
    const auto checkpoint = [](int64_t keep) {
        Checkpoint c = Checkpoint::golden("phi3", {{"intermediate_size", keep}});
        const int64_t hidden = c.config["hidden_size"];
        for (const int64_t layer : {0, 1}) {
            std::mt19937 random(static_cast<uint32_t>(layer));
            std::normal_distribution<float> values;
            const auto fill = [&](const std::string& name, int64_t rows, int64_t columns, const std::function<bool(int64_t, int64_t)>& kept) {
                Tensor& t = c.tensors.at("model.layers." + std::to_string(layer) + ".mlp." + name + ".weight");
                t.bytes.clear();
                for (int64_t i = 0; i < rows * columns; i++) {
                    const float value = values(random);
                    const char* at = reinterpret_cast<const char*>(&value);
                    if (kept(i / columns, i % columns)) t.bytes.insert(t.bytes.end(), at, at + sizeof value);
                }
            };
            fill("gate_up_proj", 2 * kUnits, hidden, [&](int64_t row, int64_t) { return row % kUnits < keep; });
            fill("down_proj", hidden, kUnits, [&](int64_t, int64_t column) { return column < keep; });
            c.tensors.at("model.layers." + std::to_string(layer) + ".mlp.gate_up_proj.weight").shape = {2 * keep, hidden};
            c.tensors.at("model.layers." + std::to_string(layer) + ".mlp.down_proj.weight").shape = {hidden, keep};
        }
        return c;
    };
    const Checkpoint whole = checkpoint(kUnits), cut = checkpoint(kWidth);
    const std::string files[] = {whole.config.dump(), whole.safetensors(), cut.config.dump(), cut.safetensors()};
    for (const char* device : {"cpu", "vulkan"}) {
        if (!usable(device)) continue;
        const Model model = open_on(device, {blob_of("config.json", files[0]), blob_of("model.safetensors", files[1])}), own_model = open_on(device, {blob_of("config.json", files[2]), blob_of("model.safetensors", files[3])});
        const Session plain = make_session(model), narrow = make_session(model), own = make_session(own_model);
        const std::vector<int32_t> ids = some_ids(9, 40);
        set_width(narrow, "0.5");
        const Tensor all = feed(plain, ids);
        const uint64_t bytes = weight_bytes(plain);
        const Tensor got = feed(narrow, ids), want = feed(own, ids);
        EXPECT_SAME_BITS(got, want) << device;
        EXPECT_GT(difference(all, want), 1e-3);
        EXPECT_EQ(weight_bytes(narrow), bytes) << device;
    }
}

// Matrices that are stored the other way round (gpt2), with biases (bert). On devices these few columns end within tiles.
TEST_P(FfnWidth, TakesNoMemoryOfItsOwn) {
    const Session plain = session();
    run(plain, inputs_);
    const uint64_t bytes = weight_bytes(plain);
    const std::string control = Json::parse(read_file(folder_ + "/ffn_width.json"))[0]["control"];
    if (device() != "cpu" || std::string(std::get<0>(GetParam())) == "phi3") GTEST_SKIP() << "begins or ends within a tile";
    for (const char* width : {"0.5", "0.75", "0.9"}) {
        if (std::string(std::get<0>(GetParam())) == "llama_quantised_adapters" && std::string(width) != "0.5") continue;  // within a block
        const Session narrow = session();
        set_width(narrow, width, control);
        run(narrow, inputs_);
        EXPECT_LE(weight_bytes(narrow), bytes + bytes / 50) << width;
    }
}

}  // namespace
}  // namespace engine_tests
