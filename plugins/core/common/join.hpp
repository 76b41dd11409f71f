// Copies each input of concat and stack to its place in the output.
#pragma once

#include "common/copy.hpp"
#include "common/copy_vulkan.hpp"

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

inline bool supports_join_vulkan(const orr_prepare* p, char* reason, size_t size) {
    return can_index(p, reason, size) && can_copy(p, p->outputs[0]->block_bytes, reason, size);
}

// The same on a Vulkan device: one copy an input.
inline orr_status record_join(const orr_run* run, int32_t axis, bool stacked) {
    const orr_tensor& y = *run->outputs[0];
    uint64_t offset = 0;
    for (uint32_t n = 0; n < run->n_inputs; n++) {
        if (!run->inputs[n]) continue;
        const orr_tensor& x = *run->inputs[n];
        Index strides{};
        for (int32_t k = 0; k < x.rank; k++) strides[k] = y.stride_bytes[stacked && k >= axis ? k + 1 : k];
        const uint64_t dst = vk::address(&y) + offset;
        offset += static_cast<uint64_t>(y.stride_bytes[axis] * (stacked ? 1 : x.shape[axis]));
        if (const orr_status s = record_copy(run, x.rank, shape_of(x), dst, strides, vk::address(&x), strides_of(x), x.block_bytes)) return s;
    }
    return ORR_OK;
}

}  // namespace orrery::core
