// Makes an orr_model_arch from two functions: one reads a configuration, one builds an entry from it.
#ifndef ORRERY_COMMON_MODEL_ARCH_H
#define ORRERY_COMMON_MODEL_ARCH_H

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "orrery/plugin.hpp"

namespace orrery {

// What a configuration says of itself; see orr_model_info.
struct Summary {
    std::vector<std::string> entries, tasks;
    int64_t context_length = 0;
    int64_t vocabulary = 0;
    std::string info_json = "{}";
    std::vector<std::string> ignored_tensors;  // patterns, see orr_model_info
    std::string controls_json = "[]";
};

// C is a configuration with a member `Summary summary`. Read and Build may throw orrery::Error.
template <class C, C (*Read)(const orr_model_source&), void (*Build)(const C&, const orr_model_source&, std::string_view, Graph&)>
class ModelArch {
  public:
    // The lists are NULL-terminated and static.
    static orr_model_arch describe(const char* id, const char* summary, const char* const* architectures, const char* const* gguf_architectures,
                                   const char* const* operators) {
        return {ORR_HEADER(orr_model_arch), id, summary, architectures, gguf_architectures, operators, configure, build, destroy};
    }

  private:
    struct Held {
        C config;
        std::vector<const char*> entries, tasks, ignored;
    };
    static void list(const std::vector<std::string>& from, std::vector<const char*>& to) {
        for (const auto& s : from) to.push_back(s.c_str());
        to.push_back(nullptr);
    }
    static orr_status configure(const orr_model_source* source, void** config, orr_model_info* info) {
        return guard(source->host, [&] {
            auto held = std::make_unique<Held>(Held{Read(*source), {}, {}, {}});
            const Summary& s = held->config.summary;
            list(s.entries, held->entries);
            list(s.tasks, held->tasks);
            info->entries = held->entries.data();
            info->tasks = held->tasks.data();
            info->context_length = s.context_length;
            info->vocabulary = s.vocabulary;
            info->info_json = s.info_json.c_str();
            list(s.ignored_tensors, held->ignored);
            info->ignored_tensors = held->ignored.data();
            if (ORR_HAS(info, orr_model_info, controls_json)) info->controls_json = s.controls_json.c_str();
            *config = held.release();
        });
    }
    static orr_status build(void* config, const orr_model_source* source, const char* entry, orr_builder* b) {
        return guard(source->host, [&] {
            const C& c = static_cast<Held*>(config)->config;
            for (const auto& name : c.summary.entries) {
                if (name != entry) continue;
                Graph g(b);
                return Build(c, *source, entry, g);
            }
            throw Error(ORR_NOT_FOUND, std::string("the model has no entry \"") + entry + "\"");
        });
    }
    static void destroy(void* config) { delete static_cast<Held*>(config); }
};

}  // namespace orrery
#endif
