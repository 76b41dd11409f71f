// Operators whose output is a view of input 0: the view itself, and the kernels that copy through it where a view will not do.
#pragma once

#include "common/copy.hpp"
#include "common/copy_vulkan.hpp"
#include "common/shapes.hpp"

namespace orrery::core {

// Where the output's elements lie in x. offset and strides in bytes.
struct View {
    int32_t rank = 0;
    Index shape{};
    Index stride{};
    int64_t offset = 0;
};

// Describes y as a view of x; both bound. Shapes were checked by the shape function.
using ViewFn = View (*)(const orr_attrs* attrs, const orr_tensor& x, const orr_tensor& y);

// A tensor's last axis is contiguous; views that would not be need a copy.
inline bool fits_tensor(const View& v, int64_t element_bytes) {
    return v.rank == 0 || v.shape[v.rank - 1] <= 1 || v.stride[v.rank - 1] == element_bytes;
}

inline void store_view(const View& v, int64_t element_bytes, orr_tensor* out) {
    out->rank = v.rank;
    for (int32_t axis = 0; axis < v.rank; axis++) {
        out->shape[axis] = v.shape[axis];
        out->stride_bytes[axis] = v.stride[axis];
    }
    if (v.rank > 0 && v.shape[v.rank - 1] <= 1) out->stride_bytes[v.rank - 1] = element_bytes;
    out->offset = static_cast<uint64_t>(v.offset);
}

template <ViewFn Fn>
bool view_of(const orr_prepare* p, orr_tensor* out) {
    try {
        const orr_tensor& x = *p->inputs[0];
        if (x.layout && *x.layout) return false;
        const View v = Fn(p->attrs, x, *p->outputs[0]);
        if (!fits_tensor(v, x.block_bytes)) return false;
        store_view(v, x.block_bytes, out);
        return true;
    } catch (...) {
        return false;
    }
}

template <ViewFn Fn>
orr_status reference_view(const orr_run* run) {
    return guard(run->host, [&] {
        const orr_tensor &x = *run->inputs[0], &y = *run->outputs[0];
        const View v = Fn(run->attrs, x, y);
        copy_reference(y, strides_of(y), x, v.offset, v.stride);
    });
}

template <ViewFn Fn>
orr_status cpu_view(const orr_run* run) {
    return guard(run->host, [&] {
        const orr_tensor &x = *run->inputs[0], &y = *run->outputs[0];
        const View v = Fn(run->attrs, x, y);
        copy_strided(run, y.rank, shape_of(y), static_cast<char*>(y.data), strides_of(y), static_cast<const char*>(x.data) + v.offset, v.stride,
                     y.block_bytes);
    });
}

inline bool supports_view_vulkan(const orr_prepare* p, char* reason, size_t size) {
    return can_index(p, reason, size) && can_copy(p, p->inputs[0]->block_bytes, reason, size);
}

template <ViewFn Fn>
orr_status vulkan_view(const orr_run* run) {
    return guard(run->host, [&] {
        const orr_tensor &x = *run->inputs[0], &y = *run->outputs[0];
        const View v = Fn(run->attrs, x, y);
        return record_copy(run, y.rank, shape_of(y), vk::address(&y), strides_of(y), vk::address(&x) + static_cast<uint64_t>(v.offset), v.stride, y.block_bytes);
    });
}

template <ViewFn Fn>
Operator& view_kernels(Operator& op) {
    return op.traits(ORR_TRAIT_VIEW)
        .view(view_of<Fn>)
        .kernel({"vulkan", "vulkan", 0, supports_view_vulkan, nullptr, vulkan_view<Fn>})
        .kernel({"cpu", "cpu", 0, nullptr, nullptr, cpu_view<Fn>})
        .kernel({"reference", "cpu", ORR_KERNEL_REFERENCE, nullptr, nullptr, reference_view<Fn>});
}

}  // namespace orrery::core
