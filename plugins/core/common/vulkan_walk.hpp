// What kernels for Vulkan make of the walks of walk.hpp: axes as push constants, in elements.
#pragma once

#include <initializer_list>

#include "common/shapes.hpp"
#include "common/walk.hpp"
#include "orrery/vulkan.hpp"

namespace orrery::core {

// Shaders count elements in 31 bits.
inline constexpr int64_t kDeviceElems = INT64_C(1) << 31;

// Whether every element of t lies less than 2^31 elements from the first, at a whole number of them.
inline bool can_index(const orr_tensor& t, const char* name, char* reason, size_t size) {
    int64_t last = 0, count = 1;
    for (int32_t axis = 0; axis < t.rank; axis++) {
        const int64_t stride = t.stride_bytes[axis];
        if (t.shape[axis] > 1 && (stride < 0 || stride % t.block_bytes))
            return refuse(reason, size, std::string("axis ") + std::to_string(axis) + " of " + name + " steps " + std::to_string(stride) + " bytes, elements have " + std::to_string(t.block_bytes));
        const int64_t steps = std::max<int64_t>(t.shape[axis], 1) - 1;
        if (t.shape[axis] > kDeviceElems || (steps > 0 && stride / t.block_bytes > kDeviceElems / steps)) last = kDeviceElems;
        last = std::min(kDeviceElems, last + (last < kDeviceElems ? steps * (stride / t.block_bytes) : 0));
        count = count > 0 && t.shape[axis] > kDeviceElems / count ? kDeviceElems : count * t.shape[axis];
    }
    if (last < kDeviceElems && count < kDeviceElems) return true;
    return refuse(reason, size, std::string(name) + " spans 2^31 elements or more");
}
inline bool can_index(const orr_prepare* p, char* reason, size_t size) {
    for (uint32_t n = 0; n < p->n_inputs; n++)
        if (p->inputs[n] && !can_index(*p->inputs[n], n ? "an input" : "the input", reason, size)) return false;
    for (uint32_t n = 0; n < p->n_outputs; n++)
        if (!can_index(*p->outputs[n], "the output", reason, size)) return false;
    return true;
}

// Axes of a loop, from the inside outwards.
template <int N>
uint32_t axes_of(const Loop<N>& loop) {
    return static_cast<uint32_t>(loop.rank) + 1;
}
// Extents of all axes but the outermost.
template <int N>
void put_extents(const Loop<N>& loop, uint32_t* extent) {
    if (loop.rank > 0) extent[0] = static_cast<uint32_t>(loop.inner);
    for (int32_t k = 1; k < loop.rank; k++) extent[k] = static_cast<uint32_t>(loop.shape[loop.rank - k]);
}
// Strides of operand n, in elements of `bytes` bytes.
template <int N>
void put_strides(const Loop<N>& loop, int n, int64_t bytes, uint32_t* stride) {
    stride[0] = static_cast<uint32_t>(loop.step[n] / bytes);
    for (int32_t k = 1; k <= loop.rank; k++) stride[k] = static_cast<uint32_t>(loop.stride[n][loop.rank - k] / bytes);
}

// One invocation an element, in groups of 256.
inline vk::Groups groups_of(int64_t elems) { return vk::groups(vk::divide_up(static_cast<uint64_t>(elems), 256)); }

}  // namespace orrery::core
