// Device half of plugins/core/ops/layer_norm/layer_norm_vulkan.cpp
// y[r, i] = (x[r, i] - mean_i(x[r])) / sqrt(var_i(x[r]) + eps) * w[i] + b[i], biased variance
// Mean, then squares about it, in f32. Ba et al. 2016, arXiv:1607.06450
#version 460
#extension GL_GOOGLE_include_directive : require
#include "common/memory.glsl"
#include "common/row.glsl"
#include "core/layer_norm/params.h"

uint from;
float row_element(uint i) { return x.v[from + i]; }

void main() {
    const uint row = row_index(), to = row * n;
    const bool live = row < rows;
    from = live ? row * x_stride : 0;
    float v[16];
    ROW_LOAD(j, i);
    float sum = 0;
    ROW_LOOP(j, i) sum += ROW_VALUE(j, i);
    // Devices may be off in the last bits of a division: once more about the first guess, so that equal elements give zeros.
    const float guess = group_sum(sum) / float(n);
    float rest = 0;
    ROW_LOOP(j, i) rest += ROW_VALUE(j, i) - guess;
    const float mean = guess + group_sum(rest) / float(n);
    float square = 0;
    ROW_LOOP(j, i) square += (ROW_VALUE(j, i) - mean) * (ROW_VALUE(j, i) - mean);
    const float r = 1.0 / sqrt(group_sum(square) / float(n) + eps);
    if (!live) return;
    const bool scaled = w != uvec2(0), moved = b != uvec2(0);
    ROW_LOOP(j, i) {
        const float d = (ROW_VALUE(j, i) - mean) * r;
        y.v[to + i] = d * (scaled ? load_float(w, i, w_type) : 1.0) + (moved ? load_float(b, i, b_type) : 0.0);
    }
}
