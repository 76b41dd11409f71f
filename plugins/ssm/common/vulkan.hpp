// What the device kernels of this plugin ask of their tensors.
#pragma once

#include "common/rows_state.hpp"
#include "orrery/vulkan.hpp"

namespace orrery::ssm {

// Shaders count elements from a tensor's first in 32 bits.
inline bool takes_size(const orr_tensor& t, const char* name, char* reason, size_t size) {
    int64_t last = 0;
    for (int32_t a = 0; a < t.rank; a++) {
        if (t.stride_bytes[a] < 0) return refuse(reason, size, std::string(name) + " has a negative stride");
        last += (t.shape[a] - 1) * t.stride_bytes[a];
    }
    return last < (int64_t{1} << 33) || refuse(reason, size, std::string(name) + " spans " + std::to_string(last) + " bytes, the shader reaches 8 GiB");
}

}  // namespace orrery::ssm
