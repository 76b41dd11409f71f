// Device half of tests/conformance/planted/planted.cpp, in two passes: square[r] = sum_i x[r, i]^2, then y[r, i] from it. The sum in f32, each
// invocation its elements, then a tree in shared memory. Macros plant faults.
#version 460
#extension GL_EXT_buffer_reference : require
#extension GL_EXT_buffer_reference_uvec2 : require
#extension GL_EXT_scalar_block_layout : require
#ifndef LANES
#define LANES 64
#endif
layout(local_size_x = LANES) in;
layout(constant_id = 0) const uint pass = 0;
layout(buffer_reference, scalar, buffer_reference_align = 4) buffer F32 { float v[]; };
layout(buffer_reference, scalar, buffer_reference_align = 4) buffer U32 { uint v[]; };
layout(push_constant, std430) uniform Params {
    F32 x;
    F32 w;
    F32 y;
    F32 square;
    U32 count;
    uint rows;
    uint n;
    uint x_stride;  // elements
    uint has_w;
    float eps;
    float offset;
};
shared float part[LANES];

void main() {
    const uint row = gl_WorkGroupID.x, lane = gl_LocalInvocationID.x;
#ifdef FAULT_STRIDE
    const uint from = row * n;
#else
    const uint from = row * x_stride;
#endif
#ifdef FAULT_TAIL
    const uint end = n / 4 * 4;
#else
    const uint end = n;
#endif
    if (pass == 0) {
        float sum = 0;
        for (uint i = lane; i < end; i += LANES) {
            const float v = x.v[from + i];
#ifdef FAULT_F16
            sum = unpackHalf2x16(packHalf2x16(vec2(sum + v * v, 0))).x;
#else
            sum += v * v;
#endif
        }
        part[lane] = sum;
        for (uint half_lanes = LANES / 2; half_lanes > 0; half_lanes /= 2) {
#ifndef FAULT_BARRIER
            barrier();
#endif
            if (lane < half_lanes) part[lane] += part[lane + half_lanes];
        }
        if (lane == 0) {
            square.v[row] = part[0];
#ifdef FAULT_STATE
            // A counter that nobody sets back.
            if (atomicAdd(count.v[0], 1) >= rows) square.v[row] *= 1.01;
#endif
        }
        return;
    }
    const float scale = 1 / sqrt(square.v[row] / float(n) + eps);
#ifdef FAULT_BEYOND
    const uint last = row == rows - 1 ? n + 1 : n;
#else
    const uint last = n;
#endif
    for (uint i = lane; i < last; i += LANES) {
        float v = i < n ? x.v[from + i] * scale : 0;
        if (has_w != 0 && i < n) v *= w.v[i] + offset;
#ifdef FAULT_SIGN
        v = -v;
#endif
#ifdef FAULT_ONE
        if (n == 1 && rows == 6) v = -v;
#endif
        y.v[row * n + i] = v;
    }
}
