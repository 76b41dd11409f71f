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
            return refuse(reason, size,
                          std::string("axis ") + std::to_string(axis) + " of " + name + " steps " + std::to_string(stride) +
                              " bytes, elements have " + std::to_string(t.block_bytes));
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

// The axes of x and y, which have one shape, without `axis`.
inline Loop<2> lines_along(const orr_tensor& x, const orr_tensor& y, int32_t axis) {
    Index shape{}, stride_x{}, stride_y{};
    int32_t rank = 0;
    for (int32_t k = 0; k < x.rank; k++) {
        if (k == axis) continue;
        shape[rank] = x.shape[k];
        stride_x[rank] = x.stride_bytes[k];
        stride_y[rank++] = y.stride_bytes[k];
    }
    return make_loop<2>(rank, shape, {stride_x, stride_y});
}

// Whether the elements of a loop can go four at a time: operand n (f32, at address[n]) has neighbours (form 1) or one value (form 2)
// along the inner axis. Then the loop counts fours, and unit tells what its strides count.
template <int N>
struct Quads {
    std::array<uint32_t, N> form{};  // all 0: one at a time
    std::array<int64_t, N> unit{};   // bytes
};
template <int N>
Quads<N> take_quads(Loop<N>& loop, const std::array<uint64_t, N>& address) {
    constexpr int64_t kElement = 4, kQuad = 16;
    Quads<N> q;
    q.unit.fill(kElement);
    bool fits = loop.inner % 4 == 0;
    std::array<uint32_t, N> form{};
    for (int n = 0; n < N && fits; n++) {
        form[n] = loop.step[n] == kElement ? 1 : 2;
        if (form[n] == 2) {
            fits = loop.step[n] == 0;
            continue;
        }
        fits = address[n] % kQuad == 0;
        for (int32_t k = 0; k < loop.rank; k++) fits = fits && loop.stride[n][k] % kQuad == 0;
    }
    if (!fits) return q;
    loop.inner /= 4;
    q.form = form;
    for (int n = 0; n < N; n++)
        if (form[n] == 1) loop.step[n] = q.unit[n] = kQuad;
    return q;
}

// One invocation an element, in groups of 256.
inline vk::Groups groups_of(int64_t elems) { return vk::groups(vk::divide_up(static_cast<uint64_t>(elems), 256)); }

}  // namespace orrery::core
