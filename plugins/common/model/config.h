// Typed reading of a checkpoint's configuration: Hugging Face config.json or GGUF metadata. Every error names the key and the value.
#ifndef ORRERY_COMMON_MODEL_CONFIG_H
#define ORRERY_COMMON_MODEL_CONFIG_H

#include <cstdint>
#include <memory>
#include <nlohmann/json.hpp>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "model/json_text.h"
#include "orrery/plugin.hpp"

namespace orrery {

using Json = nlohmann::json;

class ModelConfig {
  public:
    explicit ModelConfig(const orr_model_source& source);
    // An object inside another configuration (rope_parameters, text_config). `label` names it in errors.
    ModelConfig(const Json& object, const std::string& label);

    bool gguf() const { return gguf_; }
    // Keys of a GGUF file are given without the architecture: "attention.head_count". "/general.name" is taken as it stands.
    // A key whose value is null counts as absent.
    const Json* find(const std::string& key) const;
    bool has(const std::string& key) const { return find(key) != nullptr; }
    // Whether the key stands there, null or not.
    bool declared(const std::string& key) const { return root_->contains(prefix_ + key); }

    // 1 … 2^31-1 (or most). A list of equal numbers, one a layer, counts as that number.
    int64_t size(const std::string& key, int64_t most = INT32_MAX) const;
    int64_t size_or(const std::string& key, int64_t fallback) const { return has(key) ? size(key) : fallback; }
    // 0 … 2^31-1
    int64_t count_or(const std::string& key, int64_t fallback) const;
    double number(const std::string& key) const;
    double number_or(const std::string& key, double fallback) const { return has(key) ? number(key) : fallback; }
    // Greater than zero.
    double positive(const std::string& key) const;
    double positive_or(const std::string& key, double fallback) const { return has(key) ? positive(key) : fallback; }
    bool flag_or(const std::string& key, bool fallback) const;
    std::string text(const std::string& key) const;
    std::string text_or(const std::string& key, const std::string& fallback) const { return has(key) ? text(key) : fallback; }
    std::vector<double> numbers(const std::string& key) const;
    std::vector<std::string> texts(const std::string& key) const;

    // "config.json: hidden_size" or "llama.embedding_length"
    std::string label(const std::string& key) const;
    // Throws `<label> "value" is not supported; known: …`.
    [[noreturn]] void refuse(const std::string& key, const std::string& value, const std::string& known) const;
    // Throws unless the flag is absent, null or `wanted`.
    void require_flag(const std::string& key, bool wanted) const;
    // Top-level keys that nothing has asked for; for info_json.
    Json unused() const;

  private:
    const Json& get(const std::string& key) const;
    bool gguf_ = false;
    std::shared_ptr<const Json> root_;
    std::string prefix_, label_;
    mutable std::set<std::string> used_;
};

// Throws "<a> 65 is not a multiple of <b> 8".
void require_multiple(const ModelConfig& c, const std::string& a, int64_t a_value, const std::string& b, int64_t b_value);

// The name of orr.activation/1 for a Hugging Face name ("gelu_new" -> "gelu_tanh"); unknown ones are refused.
std::string activation_name(const ModelConfig& c, const std::string& key, const std::string& fallback);

// The class that the checkpoint names, out of `known`; known[0] where it names none of them (a bare model type).
std::string class_name(const orr_model_source& source, std::initializer_list<const char*> known);
bool has_tensor(const orr_model_source& source, const std::string& name);
// The first prefix for which prefix + name exists, else the first prefix.
std::string tensor_prefix(const orr_model_source& source, std::initializer_list<const char*> prefixes, const std::string& name);
// Shape of a tensor that must exist and have this rank.
std::vector<int64_t> tensor_shape(const orr_model_source& source, const std::string& name, int32_t rank);
// GGUF: the rows of token_embd.weight. Throws where vocab_size, should it be there, says otherwise.
int64_t gguf_vocabulary(const ModelConfig& c, const orr_model_source& source);
// All elements of an f32 tensor.
std::vector<float> read_f32(const orr_model_source& source, const std::string& name);
// Elements of all tensors of the checkpoint.
int64_t parameter_count(const orr_model_source& source);

// "model.layers.{}.mlp" and 3 give "model.layers.3.mlp".
std::string numbered(std::string_view pattern, int64_t index);

}  // namespace orrery
#endif
