// Copies of elements of any plain type between strided places.
#pragma once

#include "common/walk.hpp"

namespace orrery::core {

// One element after another: y at stride_y from x's data + offset_x at stride_x, over y's shape.
void copy_reference(const orr_tensor& y, const Index& stride_y, const orr_tensor& x, int64_t offset_x, const Index& stride_x);

// The same in merged rows, on the run's threads when there is much. bytes: of one element, 1, 2, 4 or 8.
void copy_strided(const orr_run* run, int32_t rank, const Index& shape, char* dst, const Index& stride_dst, const char* src, const Index& stride_src,
                  int64_t bytes);

// count elements at byte steps; the building block of the above.
void copy_row(char* dst, int64_t step_dst, const char* src, int64_t step_src, int64_t count, int64_t bytes);

}  // namespace orrery::core
