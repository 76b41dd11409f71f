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
#include "orrery/plugin.h"
#include "orrery/ext/taps.h"
#include "orrery/ext/tasks.h"

using nlohmann::ordered_json;

namespace {

const void* no_extension(const orr_host*, const char*) { return nullptr; }
void* host_allocate(const orr_host*, size_t bytes, size_t alignment) { return std::aligned_alloc(alignment, (bytes + alignment - 1) / alignment * alignment); }
void host_release(const orr_host*, void* memory, size_t, size_t) { std::free(memory); }
void host_log(const orr_host*, int32_t, const char* text) { std::fprintf(stderr, "%s\n", text); }
orr_status host_fail(const orr_host*, orr_status code, const char* text) {
    std::fprintf(stderr, "%s\n", text);
    return code;
}

template <class Table>
const Table* extension(const orr_plugin* plugin, const char* id) {
    return static_cast<const Table*>(plugin->get_extension(id));
}

ordered_json strings(const char* const* list) {
    ordered_json out = ordered_json::array();
    for (; list && *list; list++) out.push_back(*list);
    return out;
}

ordered_json contents(const orr_plugin* plugin) {
    ordered_json m;
    m["id"] = plugin->id;
    m["version"] = plugin->version;
    m["licence"] = plugin->licence;
    m["abi"] = {{"major", plugin->header.abi_major}, {"minor", plugin->header.abi_minor}};
    m["sanitizer"] = plugin->sanitizer;
    for (const char* key : {"operators", "types", "formats", "models", "rewrites", "tokenizers", "tasks", "taps"}) m[key] = ordered_json::array();
    if (const auto* t = extension<orr_operators>(plugin, ORR_EXT_OPERATORS))
        for (uint32_t i = 0; i < t->count; i++) m["operators"].push_back(t->items[i]->id);
    if (const auto* t = extension<orr_types>(plugin, ORR_EXT_TYPES))
        for (uint32_t i = 0; i < t->count; i++) m["types"].push_back(t->items[i]->id);
    if (const auto* t = extension<orr_formats>(plugin, ORR_EXT_FORMATS))
        for (uint32_t i = 0; i < t->count; i++) {
            const orr_format& f = *t->items[i];
            m["formats"].push_back({{"id", f.id}, {"endings", f.endings}, {"folder_files", f.folder_files}, {"magic_hex", f.magic_hex}});
        }
    if (const auto* t = extension<orr_models>(plugin, ORR_EXT_MODELS))
        for (uint32_t i = 0; i < t->count; i++) {
            const orr_model_arch& a = *t->items[i];
            m["models"].push_back({{"id", a.id},
                                   {"summary", a.summary},
                                   {"architectures", strings(a.architectures)},
                                   {"gguf_architectures", strings(a.gguf_architectures)},
                                   {"operators", strings(a.operators)}});
        }
    if (const auto* t = extension<orr_rewrites>(plugin, ORR_EXT_REWRITES))
        for (uint32_t i = 0; i < t->count; i++) m["rewrites"].push_back(t->items[i]->id);
    if (const auto* t = extension<orr_tokenizers>(plugin, ORR_EXT_TOKENIZERS))
        for (uint32_t i = 0; i < t->count; i++) m["tokenizers"].push_back(t->items[i]->id);
    if (const auto* t = extension<orr_tasks>(plugin, ORR_EXT_TASKS))
        for (uint32_t i = 0; i < t->count; i++)
            m["tasks"].push_back({{"id", t->items[i]->id}, {"summary", t->items[i]->summary}, {"request", t->items[i]->request_doc}});
    if (const auto* t = extension<orr_taps>(plugin, ORR_EXT_TAPS))
        for (uint32_t i = 0; i < t->count; i++) m["taps"].push_back({{"id", t->items[i]->id}, {"summary", t->items[i]->summary}});
    return m;
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
    ordered_json manifest;
    try {
        const orr_plugin* plugin = entry(&host);
        if (!plugin) throw std::runtime_error(file.string() + ": its entry returned NULL");
        orrery::check_plugin(*plugin, file.string());
        orrery::check_tables(*plugin, file.string());
        manifest = contents(plugin);
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
