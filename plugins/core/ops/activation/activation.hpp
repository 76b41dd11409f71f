// The element functions of orr.activation/1, in the order of the attribute's values.
#pragma once

#include "common/unary.hpp"

namespace orrery::core {

enum class Function {
    gelu,
    gelu_tanh,
    quick_gelu,
    silu,
    relu,
    relu2,
    tanh,
    sigmoid,
    softplus,
    exp,
    log,
    sqrt,
    rsqrt,
    abs,
    neg,
    square,
    sin,
    cos,
    erf,
    floor,
    round,
    hard_swish,
    elu,
    mish,
    identity
};

// Throws for an unknown name.
Function function_of(const orr_attrs* attrs);
// The definition, in f64.
double activate(Function f, double x);
// y[i] = f(x[i]) in f32; y may be x.
void activate_row(const flt::VectorKernels& kernels, Function f, const float* x, float* y, int64_t n);

struct Activation {
    Function function;
    explicit Activation(const orr_attrs* attrs) : function(function_of(attrs)) {}
    void reference(const float* x, float* y) const { *y = static_cast<float>(activate(function, static_cast<double>(*x))); }
    void row(const flt::VectorKernels& kernels, const float* x, float* y, int64_t n) const { activate_row(kernels, function, x, y, n); }
};

extern const KernelDef kActivationVulkan;

}  // namespace orrery::core
