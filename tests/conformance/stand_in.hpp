// What stands between a device's kernel and the engine: refuses shaders, so that a kernel shows its other ways, and gives dispatches that no
// barrier keeps apart in the other order.
#pragma once

#include <cstdint>
#include <set>
#include <string>
#include <vector>

#include "orrery/ext/vulkan.h"

namespace orrery::conformance {

class StandIn {
  public:
    // bare: a device that has none of the features that it may have.
    StandIn(std::set<std::string> refused, bool bare, bool reversed) : refused_(std::move(refused)), bare_(bare), reversed_(reversed) {}
    StandIn(const StandIn&) = delete;

    const orr_vulkan_device* device(const void* real);
    // The recorder to be shown instead of `real`, which must live until flush.
    const orr_vulkan_recorder* recorder(const void* real);
    // Gives what is held back. Throws when the engine refuses it.
    void flush();
    const std::set<std::string>& refused() const { return refused_; }
    // Names of the shaders dispatched.
    const std::set<std::string>& used() const { return used_; }
    // Whether two dispatches stood side by side without a barrier between them.
    bool side_by_side() const { return side_by_side_; }

  private:
    struct DeviceTable {
        orr_vulkan_device base;
        StandIn* self;
    } device_{};
    struct RecorderTable {
        orr_vulkan_recorder base;
        StandIn* self;
    } recorder_{};
    struct Dispatch {
        orr_vulkan_dispatch what;
        std::vector<uint32_t> constants;
        std::vector<uint8_t> push;
    };
    orr_status hold(const orr_vulkan_dispatch& d);
    const char* refuse(const orr_vulkan_shader& s) const;

    const orr_vulkan_device* real_device_ = nullptr;
    const orr_vulkan_recorder* real_ = nullptr;
    std::set<std::string> refused_, used_;
    bool bare_, reversed_, side_by_side_ = false;
    std::vector<Dispatch> held_;
};

}  // namespace orrery::conformance
