// A model's constants in the memory of a device: as they are in the checkpoint, or repacked. Shared by all sessions there.
#pragma once
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <string>

#include "engine/backend/device.hpp"
#include "engine/weights/weights.hpp"

namespace orrery {

class DeviceWeights {
  public:
    DeviceWeights(std::shared_ptr<Device> device, Weights& weights, std::shared_ptr<Memory> memory) : device_(std::move(device)), weights_(weights), memory_(std::move(memory)) {}
    const std::shared_ptr<Device>& device() const { return device_; }

    // Uploaded once. The constant must be contiguous. beside: see Device::allocate. Throws NoDeviceMemory, and what `progress` throws.
    std::shared_ptr<DeviceBlock> plain(const std::shared_ptr<Constant>& c, uint64_t beside, const DeviceProgress& progress);
    // See orr_pack. `parallel` runs the chunks.
    std::shared_ptr<DeviceBlock> pack(const std::shared_ptr<Constant>& c, const orr_pack& pack, uint64_t beside, const std::function<void(int64_t, orr_chunk_fn, void*)>& parallel,
                                      const DeviceProgress& progress);
    // Gives back what no plan uses.
    void drop_unused();
    uint64_t bytes();
    // Lets go of what lies there of constants whose keys hold `mark`; plans that use it keep it.
    void forget(const std::string& mark);

  private:
    std::shared_ptr<Device> device_;
    Weights& weights_;
    std::shared_ptr<Memory> memory_;
    std::recursive_mutex mutex_;
    std::map<std::string, std::shared_ptr<DeviceBlock>> blocks_;  // key of the constant and layout
};

}  // namespace orrery
