// Settings that vision, audio and time-series architectures have besides those of plugins/common/model.
#ifndef ORRERY_ENCODER_SETTINGS_H
#define ORRERY_ENCODER_SETTINGS_H

#include <initializer_list>
#include <string>
#include <utility>
#include <vector>

#include "model/arch.h"
#include "model/config.h"

namespace orrery::encoder {

// An integer, or [height, width].
std::pair<int64_t, int64_t> extent(const ModelConfig& c, const std::string& key, int64_t fallback);
// A list of integers above 0.
std::vector<int64_t> sizes(const ModelConfig& c, const std::string& key, std::vector<int64_t> fallback);
// The object under `key`, empty where there is none.
ModelConfig object(const ModelConfig& c, const std::string& key);
// Throws unless the image holds at least one patch.
void require_patch(std::pair<int64_t, int64_t> image, std::pair<int64_t, int64_t> patch);
// Marks keys that do nothing in a forward pass (training, other heads) as read.
void ignore(const ModelConfig& c, std::initializer_list<const char*> keys);

// For ModelArch: of a class with Model(const orr_model_source&), Summary summary, and
// void build(std::string_view entry, const orr_model_source&, Graph&) const.
template <class Model>
Model read_model(const orr_model_source& source) {
    return Model(source);
}
template <class Model>
void build_model(const Model& model, const orr_model_source& source, std::string_view entry, Graph& g) {
    model.build(entry, source, g);
}
template <class Model>
orr_model_arch describe(const char* id, const char* summary, const char* const* classes, const char* const* operators) {
    static const char* const none[] = {nullptr};
    return ModelArch<Model, read_model<Model>, build_model<Model>>::describe(id, summary, classes, none, operators);
}

}  // namespace orrery::encoder
#endif
