// Host tensors into the types that a plan wants.
#pragma once
#include "orrery/orrery.h"
#include "orrery/plugin.h"

namespace orrery {

// The buffer on the device that holds it; nullptr: host memory does.
inline const orr_vulkan_buffer* named_buffer(const orr_named_tensor& t) { return ORR_HAS(&t, orr_named_tensor, buffer) ? t.buffer : nullptr; }
// Throws Error naming the tensor when name, type, shape or size are not in order.
void check_named_tensor(const orr_named_tensor* t, uint32_t index);
// Integer to integer and float to float conversions. Throws Error when the kinds differ or a value does not fit.
void convert_plain(const orr_named_tensor& src, const orr_tensor& dst);
void fill_plain(const orr_tensor& dst, int64_t n, int value);

}  // namespace orrery
