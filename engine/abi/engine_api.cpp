#include <cstring>

#include "engine/abi/handles.hpp"
#include "engine/registry/json_text.hpp"
#include "engine/registry/error_text.hpp"
#include "engine/run/options.hpp"

using namespace orrery;

extern "C" {

const char* orr_version(void) { return ORRERY_VERSION; }
uint32_t orr_abi_version(void) { return static_cast<uint32_t>(ORR_ABI_MAJOR) << 16 | ORR_ABI_MINOR; }
const char* orr_licence(void) { return "MIT"; }
const char* orr_error_text(void) { return error_text(); }

const char* orr_status_name(orr_status status) {
    static const char* const names[] = {"ORR_OK",     "ORR_INVALID_ARGUMENT", "ORR_NOT_FOUND", "ORR_UNSUPPORTED", "ORR_CORRUPT",      "ORR_OUT_OF_MEMORY", "ORR_IO",
                                        "ORR_CANCELLED", "ORR_BUSY",          "ORR_LIMIT",     "ORR_ABI_MISMATCH", "ORR_DEVICE_LOST", "ORR_INTERNAL",      "ORR_CONFLICT"};
    return status >= 0 && static_cast<size_t>(status) < sizeof names / sizeof *names ? names[status] : "ORR_(unknown)";
}

const char* orr_text_data(const orr_text* text) { return text ? text->text.c_str() : ""; }
uint64_t orr_text_size(const orr_text* text) { return text ? text->text.size() : 0; }
void orr_text_release(orr_text* text) { delete text; }

orr_status orr_engine_create(const orr_engine_options* options, orr_engine** engine) {
    return boundary([&] {
        require(engine, "engine");
        orr_engine_options o = copy_options(options, "orr_engine_options");
        if (!options) o.log_level = ORR_LOG_WARNING;
        *engine = new orr_engine{std::make_shared<Engine>(o)};
    });
}

void orr_engine_release(orr_engine* engine) { delete engine; }

orr_status orr_engine_describe(orr_engine* engine, const char* what, orr_text** json) {
    return boundary([&] {
        require(engine, "engine");
        require(what, "what");
        require(json, "json");
        *json = make_text(json_text(engine->engine->describe(what)));
    });
}

orr_status orr_engine_scan(orr_engine* engine, const char* folder) {
    return boundary([&] {
        require(engine, "engine");
        if (folder)
            engine->engine->registry().scan(folder, true);
        else
            engine->engine->registry().rescan();
    });
}

orr_status orr_engine_add_plugin(orr_engine* engine, const orr_plugin* (*entry)(const orr_host*)) {
    return boundary([&] {
        require(engine, "engine");
        require(reinterpret_cast<const void*>(entry), "entry");
        engine->engine->registry().add_static(entry);
    });
}

}  // extern "C"
