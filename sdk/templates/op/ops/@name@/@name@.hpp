// What the kernels of @prefix@.@name@/1 share.
#pragma once

#include "orrery/plugin.hpp"

namespace orrery::@name@_kernels {

extern const KernelDef kReference;
extern const KernelDef kCpu;
extern const KernelDef kVulkan;

// Order of the ports.
enum : uint32_t { kX = 0, kW = 1 };

// Byte offset of row r of t, rows being all axes but the last in row-major order. Leading axes may have any strides.
inline int64_t row_offset_bytes(const orr_tensor& t, int64_t r) {
    int64_t offset = 0;
    for (int32_t axis = t.rank - 2; axis >= 0; axis--) {
        offset += r % t.shape[axis] * t.stride_bytes[axis];
        r /= t.shape[axis];
    }
    return offset;
}

}  // namespace orrery::@name@_kernels
