// Formulas of elementwise operators, worked out on the processor.
#pragma once

#include <vector>

#include "engine/plan/expression.hpp"

namespace orrery::conformance {

// Element by element; inputs[k] holds the values of input k. Every operation as the header tells, rounded to nearest.
std::vector<float> evaluate(const Expression& expression, const std::vector<const float*>& inputs, size_t n);

}  // namespace orrery::conformance
