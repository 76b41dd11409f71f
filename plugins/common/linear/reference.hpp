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

// Rows of x beside each other: a row of weights is read once for all of them, and their sums wait for each other no more. Each is added up as
// multiply_row does.
constexpr int64_t kRowsAtOnce = 8;
// x[k * kRowsAtOnce + r], and dst[r * dst_row + n] for r < count; what x has beyond `count` is a number.
void multiply_rows(const orr_tensor& weight, int64_t matrix, bool transposed, int64_t count, const double* x, double* dst, int64_t dst_row, float* scratch);
// Puts row r of n numbers there.
void put_row(const float* row, int64_t n, int64_t r, double* x);

// dst[n] += sum_k x[k] w[matrix][n][k] (or w[k][n]) in f64. scratch: the longer of a weight tensor's two axes, in floats.
void multiply_row(const orr_tensor& weight, int64_t matrix, bool transposed, const float* x, double* dst, float* scratch);

}  // namespace orrery::linear
