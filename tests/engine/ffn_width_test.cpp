// The control ffn_width: what PyTorch models give whose feed-forwards were cut (golden/<case>/ffn_width.json), alone and with adapters.
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
    refused("\"2:0.5\"", {"ffn_width", "2:0.5", "the most is 1"});
    refused("\"1-0:0.5\"", {"ffn_width", "1-0:0.5"});
    refused("\"half\"", {"ffn_width", "half"});
    refused("[0.5]", {"ffn_width", "[0.5]"});
    // 16 of 64 columns end inside of a block of 32.
    const Session q = make_session(blocks);
    expect_failure([&] { set_width(q, "0.25"); }, ORR_INVALID_ARGUMENT, {"16", "32", "q4_0", "blk.0.ffn_down.weight"});
    expect_failure([&] { set_width(make_session(experts), "0.5"); }, ORR_NOT_FOUND, {"ffn_width", "layer_plan"});
}

}  // namespace
}  // namespace engine_tests
