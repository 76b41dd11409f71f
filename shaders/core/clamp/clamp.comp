// Device half of plugins/core/ops/clamp/clamp.cpp
// y[i] = min(max(x[i], p0), p1); a NaN stays.
#version 460
#extension GL_GOOGLE_include_directive : require
#include "common/unary.glsl"

float f(float x) {
    if (is_nan(x)) return x;
    const float raised = x < p0 ? p0 : x;
    return raised > p1 ? p1 : raised;
}
