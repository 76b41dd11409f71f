#include "encoder/settings.h"

#include <cmath>

namespace orrery::encoder {

std::vector<int64_t> sizes(const ModelConfig& c, const std::string& key, std::vector<int64_t> fallback) {
    if (!c.has(key)) return fallback;
    std::vector<int64_t> out;
    for (const double v : c.numbers(key)) {
        if (!(v >= 1 && v <= INT32_MAX) || v != std::floor(v))
            throw Error(ORR_CORRUPT, c.label(key) + " holds " + std::to_string(v) + ", wanted integers above 0");
        out.push_back(static_cast<int64_t>(v));
    }
    if (out.empty()) throw Error(ORR_CORRUPT, c.label(key) + " is an empty list");
    return out;
}

std::pair<int64_t, int64_t> extent(const ModelConfig& c, const std::string& key, int64_t fallback) {
    const Json* v = c.find(key);
    if (!v || !v->is_array()) {
        const int64_t side = c.size_or(key, fallback);
        return {side, side};
    }
    const std::vector<int64_t> both = sizes(c, key, {});
    if (both.size() != 2) throw Error(ORR_CORRUPT, c.label(key) + " has " + std::to_string(both.size()) + " numbers, wanted [height, width]");
    return {both[0], both[1]};
}

ModelConfig object(const ModelConfig& c, const std::string& key) {
    const Json* v = c.find(key);
    return ModelConfig(v ? *v : Json::object(), c.label(key));
}

void require_patch(std::pair<int64_t, int64_t> image, std::pair<int64_t, int64_t> patch) {
    if (image.first >= patch.first && image.second >= patch.second) return;
    const auto text = [](std::pair<int64_t, int64_t> e) { return std::to_string(e.first) + " x " + std::to_string(e.second); };
    throw Error(ORR_CORRUPT, "config.json: image_size " + text(image) + " is smaller than patch_size " + text(patch));
}

void ignore(const ModelConfig& c, std::initializer_list<const char*> keys) {
    for (const char* key : keys) c.find(key);
    // In nearly every config.json, without meaning for a forward pass.
    for (const char* key : {"architectures", "model_type", "transformers_version", "torch_dtype", "dtype", "_name_or_path", "initializer_range",
                            "initializer_factor", "init_std", "use_cache", "id2label", "label2id", "num_labels", "output_attentions",
                            "output_hidden_states", "return_dict", "tie_word_embeddings", "problem_type"})
        c.find(key);
}

}  // namespace orrery::encoder
