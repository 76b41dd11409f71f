// Device half of plugins/ssm/ops/causal_conv1d/causal_conv1d_vulkan.cpp
// y[b, t, c] = activation(bias[c] + sum_j w[c, j] line[t + j]), line: the taps - 1 values of the state, then x
// An invocation has one channel and `step` tokens; whoever writes new_state, which may be the state, reads its channel before, in rising order.
#version 460
#extension GL_GOOGLE_include_directive : require
layout(local_size_x = 64) in;
#include "common/rows_state.glsl"
#include "ssm/causal_conv1d/params.h"

void main() {
    const uint at = (gl_WorkGroupID.y * gl_NumWorkGroups.x + gl_WorkGroupID.x) * 64 + gl_LocalInvocationID.x;
    const uint steps = (flags & 2) != 0 ? (T + step - 1) / step : 1;
    const uint c = at % C, first = at / C % steps * step, b = at / C / steps;
    if (b >= B) return;
    const uint past = taps - 1, from = b * x_batch + c;
    F32 before = F32(state_row(state, (flags & 8) != 0, b, C * past));
    if ((flags & 2) != 0) {
        const float base = bias != uvec2(0) ? load_float(bias, c, bias_type) : 0.0;
        for (uint t = first; t < min(first + step, T); t++) {
            float sum = base;
            for (uint j = 0; j < taps; j++) {
                const float line = t + j < past ? before.v[c * past + t + j] : x.v[from + (t + j - past) * x_token];
                sum += load_float(w, c * taps + j, w_type) * line;
            }
            y.v[(b * T + t) * C + c] = (flags & 1) != 0 ? sum / (1.0 + exp(-sum)) : sum;
        }
    }
    if ((flags & 4) == 0) return;
    F32 after = F32(state_row(new_state, (flags & 16) != 0, b, C * past));
    for (uint i = 0; i < past; i++) after.v[c * past + i] = T + i < past ? before.v[c * past + T + i] : x.v[from + (T + i - past) * x_token];
}
