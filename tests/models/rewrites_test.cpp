// Rewrites do something, and a value that somebody asks for is there all the same.
#include <gtest/gtest.h>

#include "support.hpp"

namespace model_tests {
namespace {

// How often each rewrite was applied to the default entry of a golden model.
std::map<std::string, int> applied(const Session& session) {
    orr_text* text = nullptr;
    check(orr_session_describe(session.get(), "rewrites", nullptr, &text));
    const Json json = Json::parse(orr_text_data(text));
    orr_text_release(text);
    std::map<std::string, int> counts;
    for (const Json& r : json.at("rewrites")) counts[r.at("id")] = r.at("applied");
    return counts;
}

std::map<std::string, int> applied_to(const std::string& name) {
    const Model model = open_model(golden_folder(name));
    const Tensors inputs = read_tensors(golden_folder(name) + "/inputs.safetensors");
    const Session session = open_session(model, {.batch = inputs.begin()->second.shape[0]});
    run(session, inputs);
    return applied(session);
}

TEST(Rewrites, EncoderBlocksBecomeFourProducts) {
    const auto counts = applied_to("vit_rectangle");  // two layers and a pooler
    EXPECT_EQ(counts.at("orr.fuse_activation/1"), 3);
    EXPECT_EQ(counts.at("orr.fuse_residual/1"), 4);
    EXPECT_EQ(counts.at("orr.merge_linear/1"), 2);
    EXPECT_EQ(counts.at("orr.merge_glu/1"), 0);
}

TEST(Rewrites, WindowedBlocksToo) {
    const auto counts = applied_to("swin_padded");  // four layers
    EXPECT_EQ(counts.at("orr.fuse_activation/1"), 4);
    EXPECT_EQ(counts.at("orr.fuse_residual/1"), 8);
    EXPECT_EQ(counts.at("orr.merge_linear/1"), 4);
}

TEST(Rewrites, GatedFeedForwardsAreMerged) {
    const int layers = Json::parse(read_file(golden_folder("llama") + "/config.json")).at("num_hidden_layers");
    const auto counts = applied_to("llama");
    EXPECT_EQ(counts.at("orr.merge_glu/1"), layers);
    EXPECT_EQ(counts.at("orr.merge_linear/1"), layers);
    EXPECT_EQ(counts.at("orr.fuse_residual/1"), 2 * layers);
}

// Both norms of a block, and the last one where a head reads it.
TEST(Rewrites, NormWeightsAreFoldedInFastNumerics) {
    for (const std::string name : {"llama", "gpt2", "vit_rectangle", "olmo2", "gemma3_width"}) {
        const Model model = open_model(golden_folder(name));
        const Tensors inputs = read_tensors(golden_folder(name) + "/inputs.safetensors");
        const int64_t batch = inputs.begin()->second.shape[0];
        const Session folded = open_session(model, {.batch = batch, .numerics = ORR_NUMERICS_FAST});
        const Session plain = open_session(model, {.batch = batch, .no_rewrites = true, .numerics = ORR_NUMERICS_FAST});
        const Tensors got = run(folded, inputs), want = run(plain, inputs);
        for (const auto& [output, tensor] : want) EXPECT_LE(difference(got.at(output), tensor), 1e-5) << name << " " << output;
        // OLMo 2 normalises what comes out of a block; GPT-2's block products are transposed, its head is not.
        const int least = name == "olmo2" || name == "gpt2" ? 1 : 2;
        EXPECT_GE(applied(folded).at("orr.fold_norm/1"), least) << name;
        const Session exact = open_session(model, {.batch = batch});
        run(exact, inputs);
        EXPECT_EQ(applied(exact).count("orr.fold_norm/1"), 0u) << name;
    }
}

TEST(Rewrites, ValuesThatAreAskedForStay) {
    for (const std::string name : {"vit_rectangle", "swin_padded"}) {
        const Model model = open_model(golden_folder(name));
        const Tensors inputs = read_tensors(golden_folder(name) + "/inputs.safetensors");
        const std::vector<std::string> paths = {"layers.0.mixer.output", "layers.1.ffn.up", "layers.1.ffn.output", "layers.1.output"};
        const Session rewritten = open_session(model), plain = open_session(model, {.no_rewrites = true});
        const Tensors got = run(rewritten, inputs, nullptr, paths), want = run(plain, inputs, nullptr, paths);
        for (const auto& path : paths) EXPECT_LE(difference(got.at(path), want.at(path)), 1e-5) << name << " " << path;
        // and the next run of the same session, without taps, is the fused one again
        const Tensors after = run(rewritten, inputs), before = run(open_session(model), inputs);
        for (const auto& [output, tensor] : before) EXPECT_EQ(after.at(output).bytes, tensor.bytes) << name << " " << output;
    }
}

}  // namespace
}  // namespace model_tests
