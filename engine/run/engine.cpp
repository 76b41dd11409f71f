#include "engine/run/engine.hpp"

#include "engine/plan/planner.hpp"
#include "engine/platform/cpu.hpp"
#include "engine/platform/files.hpp"
#include "engine/registry/error_text.hpp"
#include "engine/run/driver.hpp"
#include "engine/run/options.hpp"
#include "orrery/ext/tasks.h"

namespace orrery {

Engine::Engine(const orr_engine_options& o) {
    log_ = o.log;
    log_user_ = o.log_user;
    log_level_ = o.log_level;
    host_.self = this;
    host_.base = {ORR_HEADER(orr_host),
                  [](const orr_host*, const char* id) -> const void* {
                      if (std::string_view(id) == ORR_EXT_PARTS) return Planner::parts();
                      return std::string_view(id) == ORR_EXT_HOST_API ? host_api_table() : nullptr;
                  },
                  [](const orr_host* h, size_t bytes, size_t alignment) { return of(h).memory_->try_allocate(bytes, alignment); },
                  [](const orr_host* h, void* memory, size_t bytes, size_t alignment) { of(h).memory_->release(memory, bytes, alignment); },
                  [](const orr_host* h, int32_t level, const char* text) {
                      const Engine& e = of(h);
                      if (e.log_ && level <= e.log_level_) e.log_(e.log_user_, level, text);
                  },
                  [](const orr_host*, orr_status code, const char* text) {
                      set_error_text(text);
                      return code;
                  }};
    const orr_allocator allocator = copy_options(o.allocator, "orr_allocator");
    const orr_executor executor = copy_options(o.executor, "orr_executor");
    if (o.allocator && (!allocator.allocate || !allocator.release)) throw Error(ORR_INVALID_ARGUMENT, "orr_allocator: allocate and release must both be given");
    if (o.executor && !executor.submit) throw Error(ORR_INVALID_ARGUMENT, "orr_executor: submit must be given");
    if (!platform::has_isa(o.isa))
        throw Error(ORR_UNSUPPORTED, std::string("instruction set ") + platform::isa_name(o.isa) + " was asked for; the best that this processor has is " + platform::isa_name(platform::best_isa()));
    isa_ = o.isa == ORR_ISA_AUTO ? platform::best_isa() : o.isa;
    memory_ = std::make_shared<Memory>(o.allocator ? &allocator : nullptr, o.memory_budget_bytes);
    executor_ = o.executor ? make_host_executor(executor) : make_tbb_executor(platform::hardware_threads());
    devices_ = std::make_unique<Devices>(o);
    registry_ = std::make_unique<Registry>(host());
    for (const char* const* dir = o.plugin_dirs; dir && *dir; dir++) registry_->scan(*dir, true);
    if (!o.no_default_plugins)
        if (const std::string own = platform::own_folder(); !own.empty()) registry_->scan(own + "/orrery", false);
}

Engine::~Engine() = default;

Driver& Engine::driver() {
    const std::lock_guard lock(driver_mutex_);
    if (!driver_) driver_ = std::make_unique<Driver>();
    return *driver_;
}

nlohmann::ordered_json Engine::describe(const std::string& what) {
    if (what == "devices") return devices_->describe(true);
    if (what != "capabilities") return registry_->describe(what);
    auto isas = nlohmann::ordered_json::array();
    for (const uint32_t isa : {ORR_ISA_GENERIC, ORR_ISA_SSE4, ORR_ISA_AVX2, ORR_ISA_AVX_VNNI, ORR_ISA_AVX512, ORR_ISA_AVX512_VNNI, ORR_ISA_AVX512_BF16, ORR_ISA_NEON})
        if (platform::has_isa(isa)) isas.push_back(platform::isa_name(isa));
    return {{"version", ORRERY_VERSION},
            {"processor", platform::processor_name()},
            {"threads", executor_->helpers() + 1},
            {"instruction_sets", isas},
            {"instruction_set", platform::isa_name(isa_)},
            {"devices", devices_->describe(false)},
            {"available_memory_bytes", platform::available_memory_bytes()},
            {"memory_budget_bytes", memory_->budget_bytes()},
            {"memory_used_bytes", memory_->used_bytes()}};
}

}  // namespace orrery
