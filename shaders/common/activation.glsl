// The activations that a product or a convolution may end with, numbered as flt::Activation. Definitions: plugins/common/linear/activation.cpp
#ifndef ORR_ACTIVATION_GLSL
#define ORR_ACTIVATION_GLSL
#include "common/functions.glsl"
const uint ACT_NONE = 0, ACT_GELU = 1, ACT_GELU_TANH = 2, ACT_QUICK_GELU = 3, ACT_SILU = 4, ACT_RELU = 5, ACT_TANH = 6, ACT_SIGMOID = 7;

float activate(uint act, float x) {
    if (act == ACT_GELU) return gelu_f32(x);
    if (act == ACT_GELU_TANH) return gelu_tanh_f32(x);
    if (act == ACT_QUICK_GELU) return quick_gelu_f32(x);
    if (act == ACT_SILU) return silu_f32(x);
    if (act == ACT_RELU) return relu_f32(x);
    if (act == ACT_TANH) return tanh_f32(x);
    if (act == ACT_SIGMOID) return sigmoid_f32(x);
    return x;
}
#endif
