// The devices of an engine by the names that a host gives: "cpu", "vulkan", "vulkan:1".
#pragma once
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "engine/backend/device.hpp"
#include "orrery/orrery.h"

namespace orrery {

class Devices {
  public:
    // A device that the host shares is opened here; others when they are first asked for.
    explicit Devices(const orr_engine_options& options);
    ~Devices();
    Devices(const Devices&) = delete;
    Devices& operator=(const Devices&) = delete;

    // nullptr for the processor. A device that was lost is made anew. Throws Error(ORR_UNSUPPORTED | ORR_NOT_FOUND |
    // ORR_INVALID_ARGUMENT) with the reason.
    std::shared_ptr<Device> get(const std::string& name);
    // One entry for each device of the machine, with what was found, or why it cannot be used. open: also those that nothing has run on
    // yet are opened for it.
    nlohmann::ordered_json describe(bool open);

  private:
    struct Shared;
    std::shared_ptr<Device> open(size_t index);
    nlohmann::ordered_json describe_closed(size_t index);
    size_t count();
    std::mutex mutex_;
    uint64_t budget_bytes_;
    bool self_test_;
    std::vector<std::string> without_shaders_;
    uint64_t submission_ns_;
    std::string cache_dir_;
    std::unique_ptr<Shared> shared_;  // Vulkan's instance and what the host gave
    std::map<size_t, std::shared_ptr<Device>> open_;
};

}  // namespace orrery
