// Entries, states and refusals of the architectures that are no language models.
#include <gtest/gtest.h>

#include <cmath>

#include "support.hpp"

namespace model_tests {
namespace {

constexpr double kTolerance = 1e-4;

Json config_of(const std::string& name) { return Json::parse(read_file(golden_folder(name) + "/config.json")); }
Tensors inputs_of(const std::string& name) { return read_tensors(golden_folder(name) + "/inputs.safetensors"); }
Tensors outputs_of(const std::string& name) { return read_tensors(golden_folder(name) + "/outputs.safetensors"); }

// Expects that `attempt` fails with a text that holds every part.
template <class Attempt>
void expect_failure(Attempt&& attempt, const std::vector<std::string>& parts) {
    try {
        attempt();
        FAIL() << "nothing failed";
    } catch (const Failure& failure) {
        for (const auto& part : parts) EXPECT_NE(std::string(failure.what()).find(part), std::string::npos) << failure.what() << " lacks " << part;
    }
}

void expect_refused(const std::string& name, const Json& change, const std::vector<std::string>& parts) {
    Json config = config_of(name);
    config.merge_patch(change);
    expect_failure(
        [&] {
            const Model model = open_changed(golden_folder(name), config);
            run(open_session(model), inputs_of(name));
        },
        parts);
}

TEST(Whisper, EncodeThenDecodeInPartsEqualsForward) {
    const std::string name = "whisper";
    const Model model = open_model(golden_folder(name));
    const Tensors inputs = inputs_of(name), want = outputs_of(name);
    const Session session = open_session(model, {.batch = 2});
    const Tensor ids = inputs.at("decoder_input_ids");
    const Tensors encoded = run(session, {{"input_features", inputs.at("input_features")}}, "encode");
    EXPECT_LE(difference(encoded.at("encoder_last_hidden_state"), want.at("encoder_last_hidden_state")), kTolerance);
    EXPECT_EQ(orr_session_position(session.get()), 0);

    const Tensors first = run(session, {{"decoder_input_ids", ids.cut(1, 0, 5)}}, "decode");
    EXPECT_LE(difference(first.at("logits"), want.at("logits").cut(1, 0, 5)), kTolerance);
    const Tensors second = run(session, {{"decoder_input_ids", ids.cut(1, 5, 7)}}, "decode");
    EXPECT_LE(difference(second.at("logits"), want.at("logits").cut(1, 5, 7)), kTolerance);
    EXPECT_EQ(orr_session_position(session.get()), 7);

    Tensor last = want.at("logits").cut(1, 7, 8);
    last.shape = {last.shape[0], last.shape[2]};
    const Tensors next = run(session, {{"decoder_input_ids", ids.cut(1, 7, 8)}}, "next");
    EXPECT_LE(difference(next.at("logits"), last), kTolerance);
}

// Layers left out, repeated, and without attention: as forward, which holds both halves in one graph.
TEST(Whisper, PlansHoldWhenEncoderAndDecoderRunApart) {
    const Model model = open_model(golden_folder("whisper"));
    const Tensors inputs = inputs_of("whisper");
    const Tensor ids = inputs.at("decoder_input_ids");
    for (const auto& [control, value] : {std::pair("decoder.layer_plan", "\"1\""), std::pair("decoder.layer_plan", "\"0,0,1\""), std::pair("decoder.layer_plan", "\"1,0\""),
                                         std::pair("decoder.bypass", "\"0.mixer\"")}) {
        SCOPED_TRACE(std::string(control) + "=" + value);
        const Session whole = open_session(model, {.batch = 2}), apart = open_session(model, {.batch = 2});
        for (const Session* s : {&whole, &apart}) check(orr_session_set_control(s->get(), control, value));
        const Tensors want = run(whole, inputs);
        run(apart, {{"input_features", inputs.at("input_features")}}, "encode");
        for (int64_t t = 0; t < 3; t++)
            EXPECT_LE(difference(run(apart, {{"decoder_input_ids", ids.cut(1, t, t + 1)}}, "decode").at("logits"), want.at("logits").cut(1, t, t + 1)), kTolerance) << t;
    }
}

TEST(Whisper, ForksShareWhatWasEncoded) {
    const std::string name = "whisper";
    const Model model = open_model(golden_folder(name));
    const Tensors inputs = inputs_of(name), want = outputs_of(name);
    const Session session = open_session(model, {.batch = 2});
    run(session, {{"input_features", inputs.at("input_features")}}, "encode");
    orr_session* made = nullptr;
    check(orr_session_fork(session.get(), &made));
    const Session fork(made);
    for (const Session* s : {&session, &fork}) {
        const Tensors got = run(*s, {{"decoder_input_ids", inputs.at("decoder_input_ids")}}, "decode");
        EXPECT_LE(difference(got.at("logits"), want.at("logits")), kTolerance);
    }
}

TEST(Whisper, EncodingAgainReplaces) {
    const std::string name = "whisper";
    const Model model = open_model(golden_folder(name));
    const Tensors inputs = inputs_of(name), want = outputs_of(name);
    const Session session = open_session(model, {.batch = 2});
    Tensor silence = inputs.at("input_features");
    std::fill(silence.bytes.begin(), silence.bytes.end(), 0);
    run(session, {{"input_features", silence}}, "encode");
    run(session, {{"input_features", inputs.at("input_features")}}, "encode");
    const Tensors got = run(session, {{"decoder_input_ids", inputs.at("decoder_input_ids")}}, "decode");
    EXPECT_LE(difference(got.at("logits"), want.at("logits")), kTolerance);
}

TEST(Whisper, ForwardWithoutTokensIsTheEncoder) {
    const std::string name = "whisper";
    const Model model = open_model(golden_folder(name));
    const Tensors got = run(open_session(model, {.batch = 2}), {{"input_features", inputs_of(name).at("input_features")}});
    EXPECT_FALSE(got.contains("logits"));
    EXPECT_LE(difference(got.at("encoder_last_hidden_state"), outputs_of(name).at("encoder_last_hidden_state")), kTolerance);
}

TEST(Clip, TowersGiveWhatForwardCompares) {
    const std::string name = "clip_first_eos";
    const Model model = open_model(golden_folder(name));
    const Session session = open_session(model);
    Tensors text_inputs = inputs_of(name);
    const Tensors image_inputs = {{"pixel_values", text_inputs.at("pixel_values")}};
    text_inputs.erase("pixel_values");
    const Tensors text = run(session, text_inputs, "encode_text"), image = run(session, image_inputs, "encode_image");
    const auto unit = [](Tensor t) {
        std::vector<float> v = t.floats();
        const size_t width = static_cast<size_t>(t.shape.back());
        for (size_t row = 0; row < v.size(); row += width) {
            double square = 0;
            for (size_t i = 0; i < width; i++) square += static_cast<double>(v[row + i]) * v[row + i];
            for (size_t i = 0; i < width; i++) v[row + i] = static_cast<float>(v[row + i] / std::sqrt(square));
        }
        std::copy_n(reinterpret_cast<const char*>(v.data()), t.bytes.size(), t.bytes.data());
        return t;
    };
    // forward has one without the other only when its outputs are asked for by name.
    const Session both = open_session(model);
    expect_failure([&] { run(both, text_inputs); }, {"clip.forward", "input pixel_values is missing"});
    expect_failure([&] { run(both, image_inputs); }, {"clip.forward", "input input_ids is missing"});
    EXPECT_EQ(run(both, text_inputs, nullptr, {"text_embeds"}).size(), 1u);
    EXPECT_LE(difference(unit(text.at("text_embeds")), outputs_of(name).at("text_embeds")), kTolerance);
    EXPECT_LE(difference(unit(image.at("image_embeds")), outputs_of(name).at("image_embeds")), kTolerance);
    EXPECT_EQ(image.at("last_hidden_state").shape, (std::vector<int64_t>{2, 10, 20}));
}

TEST(Vit, NamedValuesCanBeRead) {
    const std::string name = "vit_rectangle";
    const Model model = open_model(golden_folder(name));
    const std::vector<std::string> paths = {"embed.output", "layers.0.mixer.q", "layers.0.mixer.output", "layers.1.ffn.act", "layers.1.output"};
    const Tensors got = run(open_session(model), inputs_of(name), nullptr, paths);
    EXPECT_EQ(got.at("embed.output").shape, (std::vector<int64_t>{2, 13, 24}));
    EXPECT_EQ(got.at("layers.0.mixer.q").shape, (std::vector<int64_t>{2, 13, 3, 8}));
    EXPECT_EQ(got.at("layers.1.ffn.act").shape, (std::vector<int64_t>{2, 13, 40}));
    EXPECT_EQ(got.at("layers.1.output").shape, (std::vector<int64_t>{2, 13, 24}));
}

TEST(Refusals, OtherImageSizes) {
    for (const std::string name : {"vit_rectangle", "swin_padded", "clip_first_eos"}) {
        Tensors inputs = inputs_of(name);
        Tensor& pixels = inputs.at("pixel_values");
        const int64_t height = pixels.shape[2];
        pixels = pixels.cut(2, 0, height - 1);
        const Model model = open_model(golden_folder(name));
        expect_failure([&] { run(open_session(model), inputs); }, {"pixel_values", std::to_string(height), std::to_string(height - 1)});
    }
}

TEST(Refusals, ConfigurationsAreNamed) {
    expect_refused("vit_rectangle", {{"hidden_act", "softsign"}}, {"hidden_act", "softsign"});
    expect_refused("vit_rectangle", {{"num_attention_heads", 7}}, {"24", "num_attention_heads", "7"});
    expect_refused("vit_rectangle", {{"image_size", {3, 20}}}, {"image_size", "patch_size"});
    expect_refused("vit_rectangle", {{"image_size", {13, 25}}}, {"embeddings.position_embeddings", "13", "16"});
    expect_refused("swin_padded", {{"window_size", 7}}, {"window_size 7", "6 x 7"});
    expect_refused("swin_padded", {{"depths", {2, 2, 2}}}, {"depths", "3", "num_heads", "2"});
    expect_refused("clip_first_eos", {{"text_config", {{"vocab_size", 50}}}}, {"token_embedding", "41", "50"});
    expect_refused("whisper", {{"decoder_attention_heads", 5}}, {"24", "decoder_attention_heads", "5"});
    expect_refused("patchtst_model", {{"norm_type", "groupnorm"}}, {"norm_type", "groupnorm"});
    expect_refused("patchtst_model", {{"do_mask_input", true}}, {"do_mask_input"});
    expect_refused("patchtst_std_masked", {{"loss", "nll"}}, {"loss", "nll"});
    expect_refused("patchtst_std_masked", {{"pooling_type", "median"}}, {"pooling_type", "median"});
    expect_refused("patchtst_std_masked", {{"scaling", "robust"}}, {"scaling", "robust"});
    expect_refused("patchtst_std_masked", {{"patch_length", 26}}, {"context_length 26", "patch_length 26"});
}

}  // namespace
}  // namespace model_tests
