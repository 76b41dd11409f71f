// Element functions over f32 arrays, split over threads where they are long.
#pragma once

#include <cstdint>

#include "float/isa.hpp"
#include "float/parallel.hpp"
#include "float/vector_kernels.hpp"

namespace orrery::flt {

// y = op(x); y may be x.
void unary(Isa isa, Unary op, const float* x, float* y, int64_t n, const Parallel& parallel);
// y[r, i] = op(a[r, i], b[r, i]); a row stride of 0 repeats a row, a step of 0 a value. y may be a or b.
struct BinaryArgs {
    const float* a;
    int64_t a_row;
    int a_step;
    const float* b;
    int64_t b_row;
    int b_step;
    float* y;
    int64_t y_row;
    int64_t rows, n;
};
void binary(Isa isa, Binary op, const BinaryArgs& args, const Parallel& parallel);
// y = activation(gate) * up
void gated(Isa isa, Activation activation, const float* gate, const float* up, float* y, int64_t n, const Parallel& parallel);

}  // namespace orrery::flt
