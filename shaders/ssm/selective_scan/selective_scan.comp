// Device half of plugins/ssm/ops/selective_scan/selective_scan_vulkan.cpp
// h[n] = e^(s a[n]) h[n] + s b[t, n] u[t],  y[t] = (sum_n h[n] c[t, n] + d u[t]) silu(z[t]),  s = softplus(delta[t] + delta_bias)
// An invocation has one channel, its N states in registers, over all tokens. Gu & Dao 2023, arXiv:2312.00752
#version 460
#extension GL_GOOGLE_include_directive : require
layout(local_size_x = 32) in;
#include "common/exp.glsl"
#include "common/rows_state.glsl"
#include "ssm/selective_scan/params.h"
layout(constant_id = 0) const uint N = 16;
layout(constant_id = 1) const uint FLAGS = 0;  // 1: softplus; 2, 4: state, new_state are rows

void main() {
    const uint at = (gl_WorkGroupID.y * gl_NumWorkGroups.x + gl_WorkGroupID.x) * 32 + gl_LocalInvocationID.x;
    const uint channel = at % C, row = at / C;
    if (row >= batch) return;
    F32 before = F32(state_row(state, (FLAGS & 2) != 0, row, C * N));
    F32 after = F32(state_row(new_state, (FLAGS & 4) != 0, row, C * N));
    float h[N], decay[N];
    for (uint n = 0; n < N; n++) {
        h[n] = before.v[channel * N + n];
        decay[n] = a.v[channel * N + n];
    }
    const float bias = delta_bias != uvec2(0) ? load_float(delta_bias, channel, bias_type) : 0.0;
    const float through = d != uvec2(0) ? load_float(d, channel, d_type) : 0.0;
    for (uint t = 0; t < T; t++) {
        const uint token = row * T + t;
        const float raw = delta.v[token * delta_row + channel] + bias, input_ = u.v[token * u_row + channel];
        const float s = (FLAGS & 1) != 0 ? softplus(raw) : raw;
        float sum = 0;
        for (uint n = 0; n < N; n++) {
            h[n] = exact_exp(s * decay[n]) * h[n] + s * b.v[token * b_row + n] * input_;
            sum += h[n] * c.v[token * c_row + n];
        }
        if (d != uvec2(0)) sum += through * input_;
        if (z != uvec2(0)) {
            const float gate = F32(z).v[token * z_row + channel];
            sum *= gate / (1.0 + exp(-gate));
        }
        y.v[token * C + channel] = sum;
    }
    for (uint n = 0; n < N; n++) after.v[channel * N + n] = h[n];
}
