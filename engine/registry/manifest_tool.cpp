// orrery-manifest [--timeout SECONDS] PLUGIN: opens a plugin file and writes <plugin>.orrery.json beside it, so that the engine knows what
// is inside without loading it. Run by the build (sdk/cmake/OrreryPlugin.cmake), which a plugin that never comes back must not hold up.
#include <dlfcn.h>
#include <unistd.h>

#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>
#include <stdexcept>
#include <string>

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

std::string late;  // said when the time is over
void too_late(int) {
    (void)!write(STDERR_FILENO, late.data(), late.size());
    _exit(1);
}

// 0: wrong usage.
unsigned seconds_of(int argc, char** argv) {
    constexpr unsigned kUsual = 120, kMost = 1'000'000;
    if (argc == 2) return kUsual;
    if (argc != 4 || std::string(argv[1]) != "--timeout") return 0;
    char* end = nullptr;
    const long seconds = std::strtol(argv[2], &end, 10);
    return *end == 0 && seconds > 0 && seconds <= kMost ? static_cast<unsigned>(seconds) : 0;
}

}  // namespace

int main(int argc, char** argv) {
    const unsigned seconds = seconds_of(argc, argv);
    if (seconds == 0) {
        std::fprintf(stderr, "usage: orrery-manifest [--timeout SECONDS] PLUGIN\n");
        return 2;
    }
    const std::filesystem::path file = std::filesystem::absolute(argv[argc - 1]);
    late = "orrery-manifest: " + file.string() + ": its loading or its tables did not come to an end within " + std::to_string(seconds) + " s\n";
    std::signal(SIGALRM, too_late);
    alarm(seconds);
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
