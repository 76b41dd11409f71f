// One engine: its memory, threads, plugins. Nothing in it is process-global.
#pragma once
#include <memory>
#include <string>
#include <vector>

#include "engine/backend/devices.hpp"
#include "engine/backend/tbb/executor.hpp"
#include "engine/registry/registry.hpp"
#include "engine/weights/memory.hpp"

namespace orrery {

class Driver;

class Engine : public std::enable_shared_from_this<Engine> {
  public:
    explicit Engine(const orr_engine_options& options);
    ~Engine();
    const orr_host* host() const { return &host_.base; }
    Registry& registry() { return *registry_; }
    const std::shared_ptr<Memory>& memory() const { return memory_; }
    const std::shared_ptr<Executor>& executor() const { return executor_; }
    uint32_t isa() const { return isa_; }
    Devices& devices() { return *devices_; }
    // Runs started in the background; its thread starts with the first of them.
    Driver& driver();
    nlohmann::ordered_json describe(const std::string& what);

  private:
    struct Host {
        orr_host base;
        Engine* self;
    } host_;
    static Engine& of(const orr_host* h) { return *reinterpret_cast<const Host*>(h)->self; }
    void (*log_)(void*, int32_t, const char*) = nullptr;
    void* log_user_ = nullptr;
    int32_t log_level_ = ORR_LOG_WARNING;
    uint32_t isa_ = ORR_ISA_AUTO;
    std::shared_ptr<Memory> memory_;
    std::shared_ptr<Executor> executor_;
    std::unique_ptr<Devices> devices_;
    std::unique_ptr<Registry> registry_;
    std::mutex driver_mutex_;
    std::unique_ptr<Driver> driver_;
};

// Table of host API functions for tasks (abi/host_api.cpp).
const void* host_api_table();

}  // namespace orrery
