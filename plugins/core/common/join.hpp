// Copies each input of concat and stack to its place in the output.
#pragma once

#include "common/copy.hpp"

namespace orrery::core {

// stacked: along a new axis, else behind the inputs before it. Absent inputs are passed over. parallel: in merged rows on the
// run's threads; else element by element, the reference.
inline void join(const orr_run* run, int32_t axis, bool stacked, bool parallel) {
    const orr_tensor& y = *run->outputs[0];
    int64_t offset = 0;
    for (uint32_t n = 0; n < run->n_inputs; n++) {
        if (!run->inputs[n]) continue;
        const orr_tensor& x = *run->inputs[n];
        Index strides{};
        for (int32_t k = 0; k < x.rank; k++) strides[k] = y.stride_bytes[stacked && k >= axis ? k + 1 : k];
        char* dst = static_cast<char*>(y.data) + offset;
        offset += y.stride_bytes[axis] * (stacked ? 1 : x.shape[axis]);
        if (parallel) {
            copy_strided(run, x.rank, shape_of(x), dst, strides, static_cast<const char*>(x.data), strides_of(x), x.block_bytes);
            continue;
        }
        for_each_index(x.rank, shape_of(x), [&](const Index& at) {
            std::memcpy(dst + offset_of(at, x.rank, strides), static_cast<const char*>(x.data) + offset_of(at, x.rank, strides_of(x)), x.block_bytes);
        });
    }
}

}  // namespace orrery::core
