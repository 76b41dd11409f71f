// The kernels of orr.matmul/1.
#pragma once

#include "float_abi/float_abi.hpp"

namespace orrery::core {

extern const KernelDef kMatmulVulkan;
extern const KernelDef kMatmulCpu;
extern const KernelDef kMatmulReference;

// Axes of b that run along k and along n.
struct MatmulAxes {
    int32_t k, n;
};
inline MatmulAxes matmul_axes(const orr_attrs* attrs, const orr_tensor& b) {
    return attrs->get_int(attrs, "transpose_b") != 0 ? MatmulAxes{b.rank - 1, b.rank - 2} : MatmulAxes{b.rank - 2, b.rank - 1};
}

// Stride in bytes of t at batch axis `axis` of y, the last two axes being the matrices: 0 where t broadcasts.
inline int64_t batch_stride(const orr_tensor& t, int32_t axis, int32_t y_rank) {
    const int32_t own = axis - (y_rank - t.rank);
    return own < 0 || t.shape[own] == 1 ? 0 : t.stride_bytes[own];
}

}  // namespace orrery::core
