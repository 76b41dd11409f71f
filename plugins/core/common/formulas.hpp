// Element functions as terms, for chains on devices: those of shaders/common/functions.glsl, step by step, so that a chain gives
// what the operators' own kernels give.
#pragma once

#include "orrery/expression.hpp"

namespace orrery::core::formulas {

using expr::Number;
using expr::Truth;
using expr::Word;

Truth is_nan(Number x);
Number keep_nan(Number x, Number otherwise);  // x where x is NaN
Number maximum(Number a, Number b);           // a NaN on either side is the result
Number minimum(Number a, Number b);
Number quotient(Number a, Number b);          // rounded as IEEE wants where nothing over- or underflows
Number relu(Number x);
Number exp(Number x);
Number expm1(Number x);
Number log(Number x);
Number tanh(Number x);
Number erf(Number x);
Number sin(Number x);
Number cos(Number x);
Number sigmoid(Number x);
Number softplus(Number x);
Number gelu(Number x);
Number gelu_tanh(Number x);
Number quick_gelu(Number x);
Number silu(Number x);
Number mish(Number x);
Number elu(Number x);
Number hard_swish(Number x);

}  // namespace orrery::core::formulas
