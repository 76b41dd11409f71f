// What the forms of a product share: which weight a workgroup works on, and how an element ends.
//   y_i[t, n] = activation(scale * sum_k x[t, k] w_i[n, k] + bias_i[n]) + residual[t, n]
//   gated: y_0[t, n] = activation(p_0[t, n]) * p_1[t, n], p_i with bias
//   with NORM, of x[t, k] / sqrt(mean_k(x[t, k]^2) + EPS) * (norm[k] + NORM_OFFSET) instead of x (rms_norm.comp)
#ifndef ORR_PRODUCT_GLSL
#define ORR_PRODUCT_GLSL
#include "common/activation.glsl"
#include "common/tiles.glsl"
#include "common/product_params.h"

layout(constant_id = 0) const uint TYPE0 = 0;   // TILE_* of the weights
layout(constant_id = 1) const uint TYPE1 = 0;   // of the second, where the two are gated
layout(constant_id = 2) const uint ACT = 0;     // ACT_*
layout(constant_id = 3) const uint GATED = 0;
layout(constant_id = 4) const float SCALE = 1;
layout(constant_id = 5) const uint NORM = 0;    // ORR_TYPE_* of its weights; 0: x as it is
layout(constant_id = 6) const float EPS = 0;
layout(constant_id = 7) const float NORM_OFFSET = 0;
layout(constant_id = 8) const uint STORED = 0;  // blocks of 32 columns in a row of the packed weights, where they have more than k

struct Part {
    uvec2 w, bias;
    F32 y;
    uint n, bias_type, group;  // group: number of the workgroup's tile within the part
};

// Row tile `index` of packed weights.
uvec2 weight_tile(uvec2 w, uint type, uint blocks, uint index) { return tile_row(w, type, STORED != 0u ? STORED : blocks, index); }

uint product_groups(uint n, uint rows) { return (n + rows - 1u) / rows; }

// Parts lie one after the other along axis y of the workgroups (rows of x along axis x: neighbours share weights), `rows` weight rows to each. False past the last.
bool product_part(uint group, uint rows, out Part p) {
    p = Part(w0, bias0, y0, n0, bias_types & 0xffu, group);
    if (TYPE0 >= TILE_RAW_F32 && TYPE0 <= TILE_RAW_BF16 || GATED != 0u) return group < product_groups(n0, rows);
    if (group < product_groups(n0, rows)) return true;
    group -= product_groups(n0, rows);
    p = Part(w1, bias1, y1, n1, bias_types >> 8 & 0xffu, group);
    if (group < product_groups(n1, rows)) return true;
    group -= product_groups(n1, rows);
    p = Part(w2, bias2, y2, n2, bias_types >> 16 & 0xffu, group);
    return group < product_groups(n2, rows);
}

float norm_weight(uint c) { return norm == uvec2(0) ? 1.0 : load_float(norm, c, NORM) + NORM_OFFSET; }

float dot4(vec4 w, vec4 x, float a) { return fma(w.w, x.w, fma(w.z, x.z, fma(w.y, x.y, fma(w.x, x.x, a)))); }

// Four columns of a row of x from c on, a multiple of 4; zeros past either end.
vec4 load_x(uint t, uint c) {
    vec4 v = vec4(0);
    if (t >= tokens || c >= k) return v;
    const uint at = t * x_stride + c;
    if (c + 3u < k && ((uvec2(x).x >> 2 | at) & 3u) == 0u) return F32x4(uvec2(x)).v[at >> 2];
    [[unroll]] for (uint i = 0; i < 4u; i++)
        if (c + i < k) v[i] = x.v[at + i];
    return v;
}

// The norm's weights into four columns from c on; returns `square` plus the squares before that.
float apply_norm(inout vec4 v, uint c, float square) {
    square = dot4(v, v, square);
    [[unroll]] for (uint j = 0; j < 4u; j++)
        if (c + j < k) v[j] *= norm_weight(c + j);
    return square;
}

float product_bias(uvec2 bias, uint type, uint n) { return bias == uvec2(0) ? 0.0 : load_float(bias, n, type); }

// Where an invocation ends many elements it reads what they add first, and without branches between: where branches meet, drivers wait for each load.
float product_residual(Part p, uint t, uint n) { return F32(residual).v[min(t, tokens - 1u) * residual_stride + min(n, p.n - 1u)]; }
float product_value(float sum, float bias) { return activate(ACT, sum * SCALE + bias); }

void product_end(Part p, uint t, uint n, float sum) {
    float v = product_value(sum, product_bias(p.bias, p.bias_type, n));
    if (residual != uvec2(0)) v += F32(residual).v[t * residual_stride + n];
    p.y.v[t * p.n + n] = v;
}

void product_end_gated(Part p, uint t, uint n, float gate, float up) {
    gate += product_bias(bias0, bias_types & 0xffu, n);
    up += product_bias(bias1, bias_types >> 8 & 0xffu, n);
    p.y.v[t * p.n + n] = activate(ACT, gate) * up;
}
#endif
