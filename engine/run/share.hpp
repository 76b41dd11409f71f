// What a run shares with the host's own work on its device (orr_session_share).
#pragma once
#include <string>
#include <vector>

#include "engine/plan/plan.hpp"
#include "orrery/ext/vulkan.h"
#include "orrery/orrery.h"

namespace orrery {

struct Share {
    struct Output {
        std::string name;
        bool copied = false;  // to the host's buffer
        orr_vulkan_buffer buffer{};
    };
    bool given = false;
    std::vector<DeviceSignal> waits, signals;
    std::vector<Output> outputs;
};

// A copy of what the host gave. Throws Error(ORR_INVALID_ARGUMENT | ORR_ABI_MISMATCH).
Share read_share(const orr_vulkan_share& given);
// For each input of the plan that the host gives in a buffer of its own: that buffer. Throws Error naming the input.
std::vector<std::shared_ptr<DeviceBlock>> import_inputs(Device& device, Plan& plan, uint32_t input_count, const orr_named_tensor* const* inputs);
// Of a plan that is ready: what its run copies besides computing. host: the block that holds the host's tensors. Throws Error naming the output.
DeviceExchange make_exchange(Device& device, Plan& plan, const Share& share, const std::vector<std::shared_ptr<DeviceBlock>>& imports, const std::shared_ptr<DeviceBlock>& host);

}  // namespace orrery
