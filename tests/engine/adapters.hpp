// Adapters that are opened and set by tests.
#pragma once

#include "support.hpp"

namespace engine_tests {

struct ReleaseAdapter {
    void operator()(orr_adapter* a) const { orr_adapter_release(a); }
};
using Adapter = std::unique_ptr<orr_adapter, ReleaseAdapter>;

inline Adapter open_adapter(const Model& model, const orr_model_options& options) {
    orr_adapter* a = nullptr;
    check(orr_adapter_open(model.get(), &options, &a));
    return Adapter(a);
}

inline Adapter open_adapter(const Model& model, const std::string& folder) {
    orr_model_options o{};
    o.header = ORR_HEADER(orr_model_options);
    o.path = folder.c_str();
    return open_adapter(model, o);
}

inline Adapter open_adapter(const Model& model, const std::string& config, const std::string& tensors) {
    const orr_blob blobs[] = {blob_of("adapter_config.json", config), blob_of("adapter_model.safetensors", tensors)};
    const orr_blob* pointers[] = {&blobs[0], &blobs[1]};
    orr_model_options o{};
    o.header = ORR_HEADER(orr_model_options);
    o.blobs = pointers;
    o.blob_count = 2;
    return open_adapter(model, o);
}

inline void set_adapters(const Session& session, const std::vector<const Adapter*>& adapters, const std::vector<double>& scales = {}, uint32_t flags = 0) {
    std::vector<orr_adapter*> raw;
    for (const Adapter* a : adapters) raw.push_back(a->get());
    check(orr_session_set_adapters(session.get(), static_cast<uint32_t>(raw.size()), raw.data(), scales.empty() ? nullptr : scales.data(), flags));
}

}  // namespace engine_tests
