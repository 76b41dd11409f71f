// Device half of plugins/core/ops/l2_norm/l2_norm_vulkan.cpp
// y[r, i] = x[r, i] / max(||x[r]||, eps). The sum in f32.
#version 460
#extension GL_GOOGLE_include_directive : require
#include "common/functions.glsl"
#include "common/memory.glsl"
#include "common/row.glsl"
#include "core/l2_norm/params.h"

uint from;
float row_element(uint i) { return x.v[from + i]; }

void main() {
    const uint row = row_index(), to = row * n;
    const bool live = row < rows;
    from = live ? row * x_stride : 0;
    float v[16];
    ROW_LOAD(j, i);
    float square = 0;
    ROW_LOOP(j, i) square += ROW_VALUE(j, i) * ROW_VALUE(j, i);
    const float length_of_row = sqrt(group_sum(square)), by = is_nan(length_of_row) || length_of_row >= eps ? length_of_row : eps;
    if (!live) return;
    ROW_LOOP(j, i) y.v[to + i] = ROW_VALUE(j, i) / by;
}
