#include "engine/registry/manifest.hpp"

#include "orrery/ext/adapters.h"
#include "orrery/ext/taps.h"
#include "orrery/ext/tasks.h"

namespace orrery {

using nlohmann::ordered_json;

namespace {

template <class Table>
const Table* extension(const orr_plugin* plugin, const char* id) {
    return static_cast<const Table*>(plugin->get_extension(id));
}

ordered_json strings(const char* const* list) {
    ordered_json out = ordered_json::array();
    for (; list && *list; list++) out.push_back(*list);
    return out;
}

}  // namespace

ordered_json manifest_of(const orr_plugin& given) {
    const orr_plugin* plugin = &given;
    ordered_json m;
    m["id"] = plugin->id;
    m["version"] = plugin->version;
    m["licence"] = plugin->licence;
    m["abi"] = {{"major", plugin->header.abi_major}, {"minor", plugin->header.abi_minor}};
    m["sanitizer"] = plugin->sanitizer;
    for (const char* key : {"operators", "types", "formats", "models", "rewrites", "tokenizers", "tasks", "taps", "adapters"}) m[key] = ordered_json::array();
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
    if (const auto* t = extension<orr_adapters>(plugin, ORR_EXT_ADAPTERS))
        for (uint32_t i = 0; i < t->count; i++) m["adapters"].push_back({{"id", t->items[i]->id}, {"summary", t->items[i]->summary}});
    return m;
}

}  // namespace orrery
