// Device half of plugins/core/ops/softmax/softmax_vulkan.cpp
// y = e^(x - max x) / sum e^(x - max x) along one axis; a line of -inf throughout gives zeros. The sum in f32.
#version 460
#extension GL_GOOGLE_include_directive : require
#include "common/functions.glsl"
#include "common/row.glsl"
layout(constant_id = 2) const uint axes = 7;
#include "common/strided.glsl"
#include "core/softmax/params.h"

uint start;
float row_element(uint i) { return x.v[start + i * step_x]; }

void main() {
    const uint row = row_index(), line = min(row, lines - 1);
    ORR_WALK2(line, axes, from, stride_x, to, stride_y)
    start = from;
    float v[16];
    ROW_LOAD(j, i);
    float most = -ORR_INF;
    ROW_LOOP(j, i) most = ROW_VALUE(j, i) > most ? ROW_VALUE(j, i) : most;
    most = group_max(most);
    const bool nothing = most == -ORR_INF;
    float sum = 0;
    ROW_LOOP(j, i) {
        const float value = ROW_VALUE(j, i);
        const float e = nothing && value == most ? 0.0 : exp_f32(most == ORR_INF && value == most ? ORR_NAN : value - (nothing ? 0.0 : most));
        if (kept != 0) v[j % 16] = e;
        else if (row < lines) y.v[to + i * step_y] = e;
        sum += e;
    }
    sum = group_sum(sum);
    if (row >= lines) return;
    ROW_LOOP(j, i) {
        const float e = kept != 0 ? v[j % 16] : y.v[to + i * step_y];
        y.v[to + i * step_y] = sum == 0.0 ? 0.0 : is_nan(sum) ? ORR_NAN : e / sum;
    }
}
