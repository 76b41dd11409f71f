// The activations that a product may end with, numbered as flt::Activation. Definitions: plugins/common/linear/activation.cpp
#ifndef ORR_ACTIVATION_GLSL
#define ORR_ACTIVATION_GLSL
const uint ACT_NONE = 0, ACT_GELU = 1, ACT_GELU_TANH = 2, ACT_QUICK_GELU = 3, ACT_SILU = 4, ACT_RELU = 5, ACT_TANH = 6, ACT_SIGMOID = 7;

// exp may overflow in tanh as drivers write it; past 10 it is 1 in f32.
float act_tanh(float x) { return tanh(clamp(x, -10.0, 10.0)); }

// Error below 1.5e-7: Abramowitz & Stegun 1964, 7.1.26; near 0, where that loses relative accuracy, the Maclaurin series 7.1.5.
float act_erf(float x) {
    const float a = abs(x);
    if (a < 0.5) {
        const float t = x * x;
        return 1.1283791671 * x * (1.0 + t * (-1.0 / 3.0 + t * (0.1 + t * (-1.0 / 42.0 + t * (1.0 / 216.0 + t * (-1.0 / 1320.0 + t / 9360.0))))));
    }
    const float t = 1.0 / (1.0 + 0.3275911 * a);
    const float r = 1.0 - t * (0.254829592 + t * (-0.284496736 + t * (1.421413741 + t * (-1.453152027 + t * 1.061405429)))) * exp(-a * a);
    return x < 0.0 ? -r : r;
}

float activate(uint act, float x) {
    if (act == ACT_GELU) return 0.5 * x * (1.0 + act_erf(x * 0.70710678118654752));
    if (act == ACT_GELU_TANH) return 0.5 * x * (1.0 + act_tanh(0.79788456080286536 * (x + 0.044715 * x * x * x)));
    if (act == ACT_QUICK_GELU) return x / (1.0 + exp(-1.702 * x));
    if (act == ACT_SILU) return x / (1.0 + exp(-x));
    if (act == ACT_RELU) return x < 0.0 ? 0.0 : x;
    if (act == ACT_TANH) return act_tanh(x);
    if (act == ACT_SIGMOID) return 1.0 / (1.0 + exp(-x));
    return x;
}
#endif
