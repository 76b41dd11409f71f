// Device half of plugins/core/ops/affine/affine.cpp
// y[i] = x[i] * scale + offset, two roundings.
#version 460
#extension GL_GOOGLE_include_directive : require
#include "common/unary.glsl"

float f(float x) {
    precise float product = x * p0;
    precise float sum = product + p1;
    return sum;
}
