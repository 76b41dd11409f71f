// Device half of plugins/core/ops/activation/activation_vulkan.cpp
// y[i] = f(x[i]); kind: enum Function of activation.hpp.
#version 460
#extension GL_GOOGLE_include_directive : require
#include "common/unary.glsl"

float f(float x) {
    switch (kind) {
        case 0: return gelu_f32(x);
        case 1: return gelu_tanh_f32(x);
        case 2: return quick_gelu_f32(x);
        case 3: return silu_f32(x);
        case 4: return relu_f32(x);
        case 5: return relu_f32(x) * relu_f32(x);
        case 6: return tanh_f32(x);
        case 7: return sigmoid_f32(x);
        case 8: return softplus_f32(x);
        case 9: return exp_f32(x);
        case 10: return log_f32(x);
        case 11: return sqrt(x);
        case 12: return 1.0 / sqrt(x);
        case 13: return abs(x);
        case 14: return -x;
        case 15: return x * x;
        case 16: return sin_f32(x);
        case 17: return cos_f32(x);
        case 18: return erf_f32(x);
        case 19: return floor(x);
        case 20: return roundEven(x);
        case 21: return is_nan(x) ? x : x * (x < -3.0 ? 0.0 : x > 3.0 ? 6.0 : x + 3.0) / 6.0;
        case 22: return x > 0.0 ? x : expm1_f32(x);
        case 23: return mish_f32(x);
    }
    return x;
}
