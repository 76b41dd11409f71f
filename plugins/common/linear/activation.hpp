// The activations that a product may end with.
#pragma once

#include <string_view>

#include "float/vector_kernels.hpp"

namespace orrery::linear {

inline constexpr const char* kActivations = "none|gelu|gelu_tanh|quick_gelu|silu|relu|tanh|sigmoid";

// Throws orrery::Error "<op>: activation is "x"; it takes a|b|c" for a name outside `allowed` (a list as kActivations).
flt::Activation parse_activation(const char* op, const char* attr, std::string_view name, std::string_view allowed = kActivations);

// The definition, in f64. gelu: Hendrycks & Gimpel 2016, arXiv:1606.08415, the exact form and the tanh form; quick_gelu: x sigmoid(1.702 x),
// section 2 there; silu: x sigmoid(x).
double activate(flt::Activation activation, double x);

}  // namespace orrery::linear
