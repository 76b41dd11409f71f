// What the kernels of example.mean_abs_norm/1 share.
#pragma once

#include "orrery/plugin.hpp"

namespace example {

extern const orrery::KernelDef kMeanAbsNormVulkan;
extern const orrery::KernelDef kMeanAbsNormCpu;
extern const orrery::KernelDef kMeanAbsNormReference;

// Byte offset of row r of t, rows being all axes but the last in row-major order.
inline int64_t row_offset_bytes(const orr_tensor& t, int64_t r) {
    int64_t offset = 0;
    for (int32_t axis = t.rank - 2; axis >= 0; axis--) {
        offset += r % t.shape[axis] * t.stride_bytes[axis];
        r /= t.shape[axis];
    }
    return offset;
}

}  // namespace example
