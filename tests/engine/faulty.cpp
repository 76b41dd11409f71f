#include "faulty.hpp"

#include <cstring>
#include <filesystem>
#include <fstream>

#include "orrery/plugin.h"

namespace engine_tests {

FaultyPlugin::FaultyPlugin(const std::string& fault) : fault_(fault), folder_(scratch("faulty_" + fault)) {
    std::filesystem::remove_all(folder_);
    std::filesystem::create_directories(folder_);
    std::filesystem::create_symlink(std::string(FAULTY_PLUGIN_DIR) + "/" + library_name(), folder_ + "/" + library_name());
    write(manifest(), fault_ + ".orrery.json");
    checkpoint_.config = {{"architectures", {"FaultyModel"}}};
    checkpoint_.tensors["w"] = {ORR_TYPE_F32, {1}, std::vector<char>(4)};
    checkpoint_.allow_extra_tensors = true;  // a checkpoint has at least one, the model uses none
}

Json FaultyPlugin::manifest() const {
    const Json none = Json::array();
    return {{"id", "test.faulty"},
            {"version", "1.0"},
            {"licence", "MIT"},
            {"abi", {{"major", ORR_ABI_MAJOR}, {"minor", ORR_ABI_MINOR}}},
            {"sanitizer", ORR_SANITIZER},
            {"file", library_name()},
            {"operators", {"test.twice/1"}},
            {"types", none},
            {"formats", none},
            {"rewrites", none},
            {"tokenizers", none},
            {"tasks", none},
            {"models", {{{"id", "faulty"}, {"summary", "y = 2 x"}, {"architectures", {"FaultyModel"}}, {"gguf_architectures", none}, {"operators", {"test.twice/1"}}}}}};
}

void FaultyPlugin::write(const Json& manifest, const std::string& name) const { std::ofstream(folder_ + "/" + name) << manifest; }

Engine FaultyPlugin::engine(const ChangeEngine& change) const {
    const char* const folders[] = {PLUGIN_DIR, folder_.c_str(), nullptr};
    return make_engine([&](orr_engine_options& o) {
        o.plugin_dirs = folders;
        if (change) change(o);
    });
}

Model FaultyPlugin::open(orr_engine* engine, const char* device) const { return checkpoint_.open(engine, device); }

Tensor FaultyPlugin::twice(const Session& session, float start) {
    Tensor x{ORR_TYPE_F32, {16, 4}, std::vector<char>(64 * sizeof(float))};
    for (int i = 0; i < 64; i++) {
        const float v = start * static_cast<float>(i + 1);
        std::memcpy(x.bytes.data() + sizeof v * static_cast<size_t>(i), &v, sizeof v);
    }
    return run(session, {{"x", x}}).at("y");
}

}  // namespace engine_tests
