// Pieces of the definitions: plain loops in f64 over tensors of any strides.
#pragma once

#include "linear/weight.hpp"

namespace orrery::linear {

// Element address of row `row` of the last axis, rows counted over all leading axes.
const uint8_t* row_at(const orr_tensor& tensor, int64_t row);
int64_t row_count(const orr_tensor& tensor);

// Why the definition cannot read this tensor, or true.
bool readable(const orr_tensor& tensor, char* reason, size_t reason_size);

// Row `row` as f32.
void read_row(const orr_tensor& tensor, int64_t row, float* dst);

// dst[n] += sum_k x[k] w[matrix][n][k] (or w[k][n]) in f64. scratch: the longer of a weight tensor's two axes, in floats.
void multiply_row(const orr_tensor& weight, int64_t matrix, bool transposed, const float* x, double* dst, float* scratch);

}  // namespace orrery::linear
