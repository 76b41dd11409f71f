// Device half of plugins/core/ops/rms_norm/rms_norm_vulkan.cpp
// y[r, i] = x[r, i] / sqrt(mean_i(x[r, i]^2) + eps) * (w[i] + weight_offset)
// Sums in f32. Zhang & Sennrich 2019, arXiv:1910.07467
#version 460
#extension GL_GOOGLE_include_directive : require
#include "common/memory.glsl"
#include "common/row.glsl"
#include "core/rms_norm/params.h"

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
    const float r = 1.0 / sqrt(group_sum(square) / float(n) + eps);
    if (!live) return;
    const bool weighted = w != uvec2(0);
    ROW_LOOP(j, i) y.v[to + i] = ROW_VALUE(j, i) * r * (weighted ? load_float(w, i, w_type) + weight_offset : 1.0);
}
