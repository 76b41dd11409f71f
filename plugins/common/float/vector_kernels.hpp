// Row and element kernels, one table per instruction set. Internal to the library: the public forms, which take threads and
// check nothing twice, are in elementwise.hpp and norm.hpp.
#pragma once

#include <cstdint>

#include "float/isa.hpp"

namespace orrery::flt {

enum class Activation : int32_t { none, gelu_erf, gelu_tanh, quick_gelu, silu, relu, tanh, sigmoid };
enum class Unary : int32_t { copy, gelu_erf, gelu_tanh, quick_gelu, silu, relu, tanh, sigmoid, softplus, exp, log, erf, sqrt, rsqrt, neg, abs, square, sin, cos };
enum class Binary : int32_t { add, sub, mul, div, max, min };

// y[t, n] = activation(scale * c[t, n] + bias[n]) + residual[t, n]; bias and residual may be null.
struct Epilogue {
    const float* bias = nullptr;
    const float* residual = nullptr;  // [T, N]; may be dst itself
    int64_t residual_stride = 0;      // floats between its rows
    float scale = 1.0f;
    Activation activation = Activation::none;
};

// A tile of a product on its way out. bias, residual and dst point at the tile's first element.
struct EpilogueTile {
    const float* c;
    int64_t ldc;
    const float* bias;
    const float* residual;
    float* dst;
    int64_t dst_row, dst_col;  // floats between rows and between columns
    int64_t rows, columns;
};

struct VectorKernels {
    Isa isa;
    void (*unary)(Unary op, const float* x, float* y, int64_t n);
    // a_step, b_step: 1 for a row, 0 for one value used throughout. y may be a or b.
    void (*binary)(Binary op, const float* a, int a_step, const float* b, int b_step, float* y, int64_t n);
    // y[i] = activation(gate[i]) * up[i]
    void (*gated)(Activation act, const float* gate, const float* up, float* y, int64_t n);
    void (*epilogue)(const Epilogue& e, const EpilogueTile& t);
    void (*rms_norm)(const float* x, const float* w, float w_offset, float eps, float* y, int64_t n);
    void (*layer_norm)(const float* x, const float* w, const float* b, float eps, float* y, int64_t n);
    void (*softmax)(const float* x, float* y, int64_t n);
    void (*log_softmax)(const float* x, float* y, int64_t n);
    // Pairs (x[i], x[i + half]) turned by the angles whose cosines and sines are given.
    void (*rotate_half)(const float* x, const float* cosine, const float* sine, float* y, int64_t half);
    // Pairs (x[2i], x[2i + 1]).
    void (*rotate_pairs)(const float* x, const float* cosine, const float* sine, float* y, int64_t half);
    // y[i] += f * x[i * x_step]
    void (*add_scaled)(float f, const float* x, int64_t x_step, float* y, int64_t n);
    float (*sum_squares)(const float* x, int64_t n);
};

const VectorKernels& vector_kernels(Isa isa);

}  // namespace orrery::flt
