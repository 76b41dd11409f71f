// Activations that products and convolutions end with, numbered as the CPU's (plugins/common/float, enum Activation).
#ifndef ORR_EPILOGUE_GLSL
#define ORR_EPILOGUE_GLSL
#include "common/functions.glsl"
float activate(uint kind, float x) {
    switch (kind) {
        case 1: return gelu_f32(x);
        case 2: return gelu_tanh_f32(x);
        case 3: return quick_gelu_f32(x);
        case 4: return silu_f32(x);
        case 5: return x < 0.0 ? 0.0 : x;
        case 6: return tanh_f32(x);
        case 7: return sigmoid_f32(x);
    }
    return x;
}
#endif
