// Compares a device's kernel with the operator's definition on a small node, before a plan trusts the device with it.
#pragma once
#include <functional>
#include <memory>
#include <string>

#include "engine/backend/device.hpp"
#include "engine/graph/attrs.hpp"
#include "engine/registry/registry.hpp"
#include "engine/weights/memory.hpp"

namespace orrery {

struct SelfTestTools {
    const orr_host* host;
    Registry& registry;
    std::shared_ptr<Memory> memory;
    std::shared_ptr<Device> device;
    std::function<void()> starts;  // told before each test that is made, or that another session is making; may throw to end planning
};

struct SelfTestResult {
    std::string why;     // the kernel must not be used as it is: what is wrong; "": it may
    bool again = false;  // something is out of use since: asked again, the kernel may choose another way
};

// node: as the kernel would prepare it. Throws what running on the device throws: Error(ORR_DEVICE_LOST | ORR_OUT_OF_MEMORY).
SelfTestResult self_test(const SelfTestTools& tools, const orr_operator& op, const orr_kernel& kernel, const NodeAttrs& attrs, const orr_prepare& node);

}  // namespace orrery
