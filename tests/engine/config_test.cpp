// Configurations that are unknown, contradict themselves or the tensors: refused by name, with what was found and what
// was wanted. Those of tests/models/ are not asked again.
#include "support.hpp"

namespace engine_tests {
namespace {

struct Case {
    const char* model;
    Json change;
    std::vector<std::string> parts;
};
void PrintTo(const Case& c, std::ostream* out) { *out << c.model << " " << c.change; }

class Config : public testing::TestWithParam<Case> {};

TEST_P(Config, IsRefusedByName) {
    Checkpoint c = Checkpoint::golden(GetParam().model, GetParam().change);
    const Failure failure = failure_of([&] { c.open(); });
    EXPECT_TRUE(failure.status == ORR_CORRUPT || failure.status == ORR_UNSUPPORTED || failure.status == ORR_INVALID_ARGUMENT || failure.status == ORR_NOT_FOUND)
        << orr_status_name(failure.status) << ": " << failure.what();
    for (const auto& part : GetParam().parts) EXPECT_NE(std::string(failure.what()).find(part), std::string::npos) << failure.what() << " lacks " << part;
    Checkpoint whole = Checkpoint::golden(GetParam().model);
    whole.open();  // the engine goes on
}

INSTANTIATE_TEST_SUITE_P(
    Cases, Config,
    testing::Values(Case{"llama", {{"num_key_value_heads", 8}}, {"num_attention_heads", "4", "num_key_value_heads", "8"}},
                    Case{"llama", {{"num_key_value_heads", 3}}, {"num_attention_heads", "4", "num_key_value_heads", "3"}}, Case{"llama", {{"num_key_value_heads", 0}}, {"num_key_value_heads", "0"}},
                    Case{"llama", {{"num_key_value_heads", -2}}, {"num_key_value_heads", "-2"}}, Case{"llama", {{"hidden_size", 24.5}}, {"hidden_size", "24.5"}},
                    Case{"llama", {{"tie_word_embeddings", "yes"}}, {"tie_word_embeddings", "yes"}}, Case{"llama", {{"sliding_window", -5}}, {"sliding_window", "-5"}},
                    Case{"llama", {{"rope_parameters", nullptr}, {"rope_scaling", {{"type", "spiral"}, {"factor", 2.0}}}}, {"rope_scaling", "spiral"}},
                    Case{"llama", {{"rope_parameters", {{"rope_theta", -3.0}}}}, {"rope_theta", "-3"}}, Case{"llama", {{"rope_parameters", {{"rope_type", 7}}}}, {"rope_type", "7"}},
                    Case{"llama", {{"max_position_embeddings", 0}}, {"max_position_embeddings", "0"}}, Case{"llama", {{"architectures", Json::array()}, {"model_type", "none"}}, {"none"}},
                    Case{"llama", {{"quantization_config", {{"quant_method", "gptq"}, {"bits", 4}}}}, {"quantization_config", "gptq"}},
                    Case{"llama", {{"rope_theta", 5.0}, {"rope_parameters", {{"rope_type", "default"}, {"rope_theta", 7.0}}}}, {"rope_theta", "5", "7"}},
                    Case{"llama", {{"rope_scaling", {{"type", "linear"}, {"factor", 2.0}}}, {"rope_parameters", {{"rope_type", "linear"}, {"factor", 4.0}}}}, {"rope_scaling.factor", "2", "4"}},
                    Case{"mistral_window", {{"sliding_window", -5}}, {"sliding_window", "-5"}}, Case{"mistral_window", {{"sliding_window", "wide"}}, {"sliding_window", "wide"}},
                    Case{"gemma2", {{"sliding_window", -1}}, {"sliding_window", "-1"}}, Case{"gemma2", {{"hidden_activation", "swish9"}}, {"hidden_activation", "swish9"}},
                    Case{"gemma2", {{"num_key_value_heads", 3}}, {"num_attention_heads", "num_key_value_heads", "3"}},
                    Case{"gemma3", {{"sliding_window", -1}}, {"sliding_window", "-1"}}, Case{"gemma3", {{"query_pre_attn_scalar", 0}}, {"query_pre_attn_scalar", "0"}},
                    Case{"gemma3", {{"vocab_size", 48}}, {"embed_tokens.weight", "41", "48"}}, Case{"qwen2", {{"hidden_act", "relu9"}}, {"hidden_act", "relu9"}},
                    Case{"qwen2", {{"vocab_size", 40}}, {"embed_tokens.weight", "41", "40"}}, Case{"qwen2_window", {{"sliding_window", -4}}, {"sliding_window", "-4"}},
                    Case{"qwen3", {{"num_attention_heads", 5}}, {"num_attention_heads", "5", "num_key_value_heads"}}, Case{"qwen3", {{"rms_norm_eps", 0}}, {"rms_norm_eps", "0"}},
                    Case{"qwen3_moe", {{"num_experts_per_tok", 9}}, {"9", "5"}}, Case{"qwen3_moe", {{"norm_topk_prob", "maybe"}}, {"norm_topk_prob", "maybe"}},
                    Case{"mixtral", {{"num_local_experts", 0}}, {"num_local_experts", "0"}}, Case{"mixtral", {{"hidden_act", "softsign"}}, {"hidden_act", "softsign"}},
                    Case{"olmo2", {{"num_key_value_heads", 16}}, {"num_attention_heads", "num_key_value_heads", "16"}},
                    Case{"phi3", {{"hidden_act", "softsign"}}, {"hidden_act", "softsign"}}, Case{"phi3", {{"vocab_size", 42}}, {"embed_tokens.weight", "41", "42"}},
                    Case{"gpt2", {{"activation_function", "gelu_11"}}, {"activation_function", "gelu_11"}}, Case{"gpt2", {{"vocab_size", 42}}, {"wte.weight", "41", "42"}},
                    Case{"mamba", {{"conv_kernel", 0}}, {"conv_kernel", "0"}}, Case{"mamba", {{"layer_norm_epsilon", -1.0}}, {"layer_norm_epsilon", "-1"}},
                    Case{"mamba", {{"vocab_size", 50}}, {"embeddings.weight", "48", "50"}}, Case{"bert", {{"hidden_act", "relu7"}}, {"hidden_act", "relu7"}},
                    Case{"bert", {{"layer_norm_eps", -1.0}}, {"layer_norm_eps", "-1"}}, Case{"roberta", {{"vocab_size", 50}}, {"word_embeddings.weight", "50"}},
                    Case{"distilbert", {{"activation", "relu7"}}, {"activation", "relu7"}}, Case{"distilbert", {{"n_heads", 7}}, {"n_heads", "7"}},
                    Case{"mpnet", {{"num_attention_heads", 5}}, {"num_attention_heads", "5"}}, Case{"whisper", {{"activation_function", "relu7"}}, {"activation_function", "relu7"}},
                    Case{"whisper", {{"encoder_attention_heads", 7}}, {"encoder_attention_heads", "7"}}, Case{"vit_classifier", {{"num_channels", 0}}, {"num_channels", "0"}},
                    Case{"swin_classifier", {{"hidden_act", "relu7"}}, {"hidden_act", "relu7"}}, Case{"swin_classifier", {{"mlp_ratio", -2.0}}, {"mlp_ratio", "-2"}},
                    Case{"patchtst_model", {{"minimum_scale", -0.5}}, {"minimum_scale", "-0.5"}}));

// Below or at zero a norm may divide by zero or take the root of a negative number.
INSTANTIATE_TEST_SUITE_P(
    Eps, Config,
    testing::Values(Case{"llama", {{"rms_norm_eps", -1}}, {"rms_norm_eps is -1"}}, Case{"gemma3", {{"rms_norm_eps", -1}}, {"rms_norm_eps is -1"}},
                    Case{"gpt2", {{"layer_norm_epsilon", -1}}, {"layer_norm_epsilon is -1"}}, Case{"mpnet", {{"layer_norm_eps", -1}}, {"layer_norm_eps is -1"}},
                    Case{"swin_classifier", {{"layer_norm_eps", -1}}, {"layer_norm_eps is -1"}},
                    Case{"swin_padded", {{"layer_norm_eps", 0}}, {"layer_norm_eps is 0"}}, Case{"vit_classifier", {{"layer_norm_eps", -1}}, {"layer_norm_eps is -1"}},
                    Case{"clip_text", {{"layer_norm_eps", -1}}, {"layer_norm_eps is -1"}}, Case{"clip_vision_projected", {{"layer_norm_eps", -1}}, {"layer_norm_eps is -1"}},
                    Case{"patchtst_model", {{"norm_eps", -1}}, {"norm_eps is -1"}}, Case{"patchtst_channels", {{"norm_eps", -1}}, {"norm_eps is -1"}}));

// The rotary tables: one object, or one a layer type.
INSTANTIATE_TEST_SUITE_P(
    Ropes, Config,
    testing::Values(Case{"gemma3", {{"rope_parameters", 1}}, {"config.json: rope_parameters is 1, wanted an object"}}, Case{"gemma3", {{"rope_parameters", true}}, {"rope_parameters is true"}},
                    Case{"gemma3", {{"rope_parameters", {1, 2}}}, {"rope_parameters is [1,2]"}}, Case{"gemma3", {{"rope_parameters", "x"}}, {"rope_parameters is \"x\""}},
                    Case{"gemma3", {{"rope_parameters", {{"sliding_attention", 3}}}}, {"rope_parameters.sliding_attention is 3, wanted an object"}},
                    Case{"gemma3", {{"rope_parameters", {{"full_attention", 3}}}}, {"rope_parameters.full_attention is 3, wanted an object"}},
                    Case{"gemma3", {{"head_dim", 3}}, {"config.json: rope_parameters.sliding_attention: the rotary width 3 of head width 3"}},
                    Case{"llama", {{"rope_parameters", {1}}}, {"rope_parameters is [1]"}}, Case{"llama", {{"head_dim", 7}}, {"config.json: rope_parameters: the rotary width 7"}},
                    Case{"llama", {{"rope_parameters", nullptr}, {"rope_theta", 10000.0}, {"head_dim", 7}}, {"the rotary width 7"}},
                    Case{"llama", {{"rope_parameters", {{"partial_rotary_factor", 2}}}}, {"config.json: rope_parameters.partial_rotary_factor is 2"}}));

// The configuration says that the head is its own, the checkpoint has none: guessing would give another model.
TEST(TiedHead, SaidToBeItsOwnButMissing) {
    for (const char* name : {"llama", "qwen3_moe"}) {
        Checkpoint c = Checkpoint::golden(name, {{"tie_word_embeddings", false}});
        c.open();
        c.tensors.erase("lm_head.weight");
        expect_failure([&] { c.open(); }, ORR_CORRUPT, {"tie_word_embeddings", "false", "lm_head.weight"});
        c.config["tie_word_embeddings"] = true;
        feed(make_session(c.open()), {1, 2});
    }
}

// Tensors of a type that the model cannot take.
TEST(TensorTypes, AreNamed) {
    for (const char* name : {"model.layers.0.mlp.up_proj.weight", "model.embed_tokens.weight"}) {
        SCOPED_TRACE(name);
        Checkpoint c = Checkpoint::golden("llama");
        c.tensors.at(name).type = ORR_TYPE_I32;  // of the same size
        const Failure failure = failure_of([&] { feed(make_session(c.open()), {1, 2}); });
        EXPECT_TRUE(failure.status == ORR_UNSUPPORTED || failure.status == ORR_INVALID_ARGUMENT) << orr_status_name(failure.status);
        EXPECT_NE(std::string(failure.what()).find("i32"), std::string::npos) << failure.what();
    }
    feed(make_session(open_golden("llama")), {1});
}

// Keys that nobody reads do no harm, and are told.
TEST(UnknownKeys, AreListed) {
    Checkpoint c = Checkpoint::golden("llama", {{"flux_capacitor", 88}, {"torch_dtype", "float77"}});
    const Model model = c.open();
    orr_text* text = nullptr;
    check(orr_model_describe(model.get(), "ignored", nullptr, &text));
    const std::string ignored = orr_text_data(text);
    orr_text_release(text);
    EXPECT_NE(ignored.find("flux_capacitor"), std::string::npos) << ignored;
    EXPECT_NE(ignored.find("torch_dtype"), std::string::npos) << ignored;
}

}  // namespace
}  // namespace engine_tests
