// Device half of plugins/core/ops/softcap/softcap.cpp
// y[i] = tanh(x[i] / p0) * p0
#version 460
#extension GL_GOOGLE_include_directive : require
#include "common/unary.glsl"

float f(float x) { return tanh_f32(x / p0) * p0; }
