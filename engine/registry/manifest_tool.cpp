// orrery-manifest PLUGIN: opens a plugin file and writes <plugin>.orrery.json beside it, so that the engine knows what
// is inside without loading it. Run by the build (sdk/cmake/OrreryPlugin.cmake).
#include <dlfcn.h>

#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>
#include <stdexcept>

#include "engine/registry/check_tables.hpp"
#include "engine/registry/manifest.hpp"
#include "orrery/plugin.h"

namespace {

const void* no_extension(const orr_host*, const char*) { return nullptr; }
void* host_allocate(const orr_host*, size_t bytes, size_t alignment) { return std::aligned_alloc(alignment, (bytes + alignment - 1) / alignment * alignment); }
void host_release(const orr_host*, void* memory, size_t, size_t) { std::free(memory); }
void host_log(const orr_host*, int32_t, const char* text) { std::fprintf(stderr, "%s\n", text); }
orr_status host_fail(const orr_host*, orr_status code, const char* text) {
    std::fprintf(stderr, "%s\n", text);
    return code;
}

}  // namespace

int main(int argc, char** argv) {
    if (argc != 2) {
        std::fprintf(stderr, "usage: orrery-manifest PLUGIN\n");
        return 2;
    }
    const std::filesystem::path file = std::filesystem::absolute(argv[1]);
    void* library = dlopen(file.c_str(), RTLD_NOW | RTLD_LOCAL);
    if (!library) {
        std::fprintf(stderr, "orrery-manifest: %s\n", dlerror());
        return 1;
    }
    const auto entry = reinterpret_cast<orr_plugin_entry_fn>(dlsym(library, "orr_plugin_entry"));
    if (!entry) {
        std::fprintf(stderr, "orrery-manifest: %s exports no orr_plugin_entry\n", file.c_str());
        return 1;
    }
    const orr_host host = {ORR_HEADER(orr_host), no_extension, host_allocate, host_release, host_log, host_fail};
    nlohmann::ordered_json manifest;
    try {
        const orr_plugin* plugin = entry(&host);
        if (!plugin) throw std::runtime_error(file.string() + ": its entry returned NULL");
        orrery::check_plugin(*plugin, file.string());
        orrery::check_tables(*plugin, file.string());
        manifest = orrery::manifest_of(*plugin);
    } catch (const std::exception& e) {
        std::fprintf(stderr, "orrery-manifest: %s\n", e.what());
        return 1;
    } catch (...) {
        std::fprintf(stderr, "orrery-manifest: the entry of %s threw what is no std::exception\n", file.c_str());
        return 1;
    }
    manifest["file"] = file.filename().string();
    auto out = file;
    out.replace_extension(".orrery.json");
    std::ofstream(out) << manifest.dump(2) << "\n";
    return 0;
}
