// What the device kernels of this plugin ask of their tensors.
#pragma once

#include "common/paged.hpp"
#include "orrery/vulkan.hpp"

namespace orrery::attention {

constexpr uint32_t kQ8_0 = 256;  // ORR_Q8_0 of shaders/common/kv_cache.glsl

// The number that shaders know a cache's type by; takes_pages said that it is one.
inline uint32_t cache_type(const orr_tensor& t) {
    flt::KvType type = flt::KvType::f32;
    kv_type(t, &type);
    return type == flt::KvType::f32 ? ORR_TYPE_F32 : type == flt::KvType::f16 ? ORR_TYPE_F16 : type == flt::KvType::bf16 ? ORR_TYPE_BF16 : kQ8_0;
}

// Shaders count elements and bytes from a tensor's first in 32 bits.
inline bool takes_size(const orr_tensor* t, const char* name, char* reason, size_t size) {
    if (!t) return true;
    int64_t last = 0;
    for (int32_t a = 0; a < t->rank; a++) last += (t->shape[a] - 1) * t->stride_bytes[a];
    if (last < (int64_t{1} << 32) - 64) return true;
    return refuse(reason, size, std::string(name) + " spans " + std::to_string(last) + " bytes, the shader reaches 4 GiB");
}

// A last axis without gaps; any strides before it.
inline bool takes_rows(const orr_tensor* t, const char* name, char* reason, size_t size) {
    if (!t) return true;
    const int32_t last = t->rank - 1;
    if (last >= 0 && t->shape[last] > 1 && t->stride_bytes[last] != static_cast<int64_t>(t->block_bytes))
        return refuse(reason, size, "the last axis of " + std::string(name) + " has gaps");
    for (int32_t a = 0; a < last; a++)
        if (t->stride_bytes[a] < 0) return refuse(reason, size, std::string(name) + " has a negative stride");
    return takes_size(t, name, reason, size);
}

// Elements from one index of an axis to the next; 0 where there is one index only.
inline uint32_t stride(const orr_tensor& t, int32_t axis) {
    return t.shape[axis] == 1 ? 0 : static_cast<uint32_t>(t.stride_bytes[axis] / static_cast<int64_t>(t.block_bytes));
}

// Rows begin at multiples of 16 bytes (f32) or 4 (f16, bf16) and hold whole vec4.
inline bool wide(const orr_tensor& t) {
    if (t.shape[3] % 4 != 0) return false;
    if (is_paged(t)) return true;
    for (int32_t a = 0; a < 3; a++)
        if (stride(t, a) % 4 != 0) return false;
    return t.offset % 16 == 0;
}

}  // namespace orrery::attention
