#include "recipe.hpp"

#include <algorithm>
#include <cstring>
#include <nlohmann/json.hpp>
#include <optional>

#include "model/json_text.h"
#include "orrery/plugin.hpp"

namespace orrery::embedding {
namespace {

using nlohmann::json;

constexpr uint64_t kMaxFileBytes = 16u << 20;

std::optional<json> read_json(const orr_files* files, const std::string& name) {
    if (!files) return std::nullopt;
    const int32_t file = files->open(files, name.c_str());
    if (file < 0) return std::nullopt;
    const uint64_t size = files->size(files, file);
    if (size > kMaxFileBytes)
        throw Error(ORR_CORRUPT, name + ": has " + std::to_string(size) + " bytes, the most is " + std::to_string(kMaxFileBytes));
    std::string bytes(size, '\0');
    if (files->read(files, file, 0, size, bytes.data()) != ORR_OK) throw Error(ORR_IO, name + ": reading failed");
    json value = parse_json(bytes);
    if (value.is_discarded()) throw Error(ORR_CORRUPT, name + ": is not valid JSON");
    return value;
}

bool flag(const json& object, const char* key, const std::string& file, bool otherwise = false) {
    if (!object.contains(key)) return otherwise;
    if (!object[key].is_boolean()) throw Error(ORR_CORRUPT, file + ": " + key + " is no boolean");
    return object[key].get<bool>();
}

std::vector<Pooling> read_pooling(const json& config, const std::string& file, bool has_prompt) {
    if (!config.is_object()) throw Error(ORR_CORRUPT, file + ": is no JSON object");
    if (has_prompt && !flag(config, "include_prompt", file, true))
        throw Error(ORR_UNSUPPORTED, file + ": include_prompt false with a default prompt is not supported");
    std::vector<Pooling> modes;
    if (config.contains("pooling_mode")) {  // the newer spelling: a name or a list of names
        const json names = config["pooling_mode"].is_array() ? config["pooling_mode"] : json::array({config["pooling_mode"]});
        for (const json& n : names) {
            if (!n.is_string()) throw Error(ORR_CORRUPT, file + ": pooling_mode holds " + n.type_name() + ", it takes names");
            modes.push_back(pooling_of(n.get<std::string>()));
        }
    } else {  // in the order in which sentence-transformers joins them
        constexpr const char* kModes[][2] = {{"pooling_mode_cls_token", "cls"},
                                             {"pooling_mode_max_tokens", "max"},
                                             {"pooling_mode_mean_tokens", "mean"},
                                             {"pooling_mode_mean_sqrt_len_tokens", "mean_sqrt_len_tokens"},
                                             {"pooling_mode_weightedmean_tokens", "weightedmean"},
                                             {"pooling_mode_lasttoken", "lasttoken"}};
        for (const auto& [key, name] : kModes)
            if (flag(config, key, file)) modes.push_back(pooling_of(name));
    }
    if (modes.empty()) modes.push_back(Pooling::kMean);
    return modes;
}

// The default prompt of config_sentence_transformers.json, "" when there is none.
std::string read_prompt(const orr_files* files) {
    const std::optional<json> config = read_json(files, "config_sentence_transformers.json");
    if (!config || !config->is_object() || !config->contains("default_prompt_name") || !(*config)["default_prompt_name"].is_string()) return "";
    const std::string name = (*config)["default_prompt_name"].get<std::string>();
    const json prompts = config->value("prompts", json::object());
    if (!prompts.is_object() || !prompts.contains(name) || !prompts[name].is_string())
        throw Error(ORR_CORRUPT, "config_sentence_transformers.json: default_prompt_name \"" + name + "\" is not among its prompts");
    return prompts[name].get<std::string>();
}

void read_modules(const orr_files* files, const json& modules, Recipe& recipe) {
    if (!modules.is_array()) throw Error(ORR_CORRUPT, "modules.json: is no JSON array");
    for (const json& m : modules) {
        if (!m.is_object() || !m.contains("type") || !m["type"].is_string()) throw Error(ORR_CORRUPT, "modules.json: a module has no type");
        const std::string type = m["type"].get<std::string>();
        const std::string kind = type.substr(type.rfind('.') + 1);
        std::string folder = m.value("path", json("")).is_string() ? m.value("path", "") : "";
        if (!folder.empty()) folder += '/';
        if (kind == "Pooling") {
            const std::optional<json> config = read_json(files, folder + "config.json");
            if (!config) throw Error(ORR_NOT_FOUND, "modules.json: names " + folder + "config.json, which does not exist");
            recipe.modes = read_pooling(*config, folder + "config.json", !recipe.prompt.empty());
        } else if (kind == "Normalize") {
            recipe.normalise = true;
        } else if (kind != "Transformer") {
            throw Error(ORR_UNSUPPORTED, "modules.json: module " + type + " is not supported; known: Transformer, Pooling, Normalize");
        }
    }
}

// llama.cpp's numbering: 0 none, 1 mean, 2 cls, 3 last, 4 rank. Its embeddings are normalised unless told otherwise.
void read_gguf(const orr_checkpoint* checkpoint, Recipe& recipe) {
    recipe.normalise = true;
    const json config = parse_json(checkpoint->config_json ? checkpoint->config_json : "{}");
    if (!config.is_object()) return;
    const std::string architecture = config.value("general.architecture", json("")).is_string() ? config.value("general.architecture", "") : "";
    const auto type = config.find(architecture + ".pooling_type");
    if (type == config.end()) return;
    const int64_t number = type->is_number_integer() ? type->get<int64_t>() : -1;
    if (number == 1) recipe.modes = {Pooling::kMean};
    if (number == 2) recipe.modes = {Pooling::kCls};
    if (number == 3) recipe.modes = {Pooling::kLastToken};
    if (number < 1 || number > 3)
        throw Error(ORR_UNSUPPORTED,
                    architecture + ".pooling_type is " + json_text(*type) + ", which gives no vector of a text; known: 1 mean, 2 cls, 3 last");
}

}  // namespace

Recipe read_recipe(const orr_files* files, const orr_checkpoint* checkpoint, int64_t context) {
    Recipe recipe;
    recipe.max_tokens = context;
    if (checkpoint && checkpoint->format && !std::strcmp(checkpoint->format, "gguf")) {
        read_gguf(checkpoint, recipe);
        return recipe;
    }
    recipe.prompt = read_prompt(files);
    if (const std::optional<json> modules = read_json(files, "modules.json")) read_modules(files, *modules, recipe);
    if (const std::optional<json> config = read_json(files, "sentence_bert_config.json"); config && config->is_object()) {
        const json& most = config->contains("max_seq_length") ? (*config)["max_seq_length"] : json();
        if (!most.is_null() && (!most.is_number_integer() || most.get<int64_t>() < 1))
            throw Error(ORR_CORRUPT, "sentence_bert_config.json: max_seq_length is " + json_text(most) + ", it takes an integer from 1 on");
        if (!most.is_null()) recipe.max_tokens = context > 0 ? std::min(context, most.get<int64_t>()) : most.get<int64_t>();
        recipe.lower_case = flag(*config, "do_lower_case", "sentence_bert_config.json");
    }
    return recipe;
}

}  // namespace orrery::embedding
