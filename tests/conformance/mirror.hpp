// The tensors of one run in the memory of a device: copied there before the run and back after it, so that all checks look at host memory.
#pragma once

#include <memory>
#include <vector>

#include "engine/backend/device.hpp"
#include "values.hpp"

namespace orrery::conformance {

struct Binding;

class Mirror {
  public:
    Mirror(std::shared_ptr<Device> device, const Binding& binding);
    Device& device() const { return *device_; }
    // Points the tensor (a copy of held's) at its place on the device.
    void place(const Held& held, orr_tensor& tensor);
    // Memory of a packed weight, filled.
    void place_packed(orr_tensor& tensor, const Guarded& packed);
    uint64_t add_workspace(uint64_t bytes);
    // Writes pasts and lengths of paged states anew.
    void refresh();
    void upload();
    void download();
    // Whether the bytes round each tensor on the device are as they were.
    bool intact() const { return intact_; }

  private:
    struct Region {
        const uint8_t* host;
        uint64_t bytes, offset;
        bool constant;
    };
    struct PagedTable {
        const orr_paged* const* rows;
        size_t batch;
        int64_t tokens;
        std::shared_ptr<DeviceBlock> block;
    };
    void write_table(const PagedTable& table);
    uint64_t address_of(const void* host) const;
    std::shared_ptr<DeviceBlock> block(uint64_t bytes);
    std::shared_ptr<Device> device_;
    std::vector<Region> regions_;
    std::shared_ptr<DeviceBlock> tensors_, workspace_;
    std::vector<std::shared_ptr<DeviceBlock>> more_;  // states' tables, packed weights
    std::vector<PagedTable> tables_;
    std::vector<uint8_t> image_;
    uint64_t workspace_bytes_ = 0;
    bool intact_ = true;
};

}  // namespace orrery::conformance
