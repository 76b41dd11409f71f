// The two recurrent steps of Mamba: the short causal convolution and the selective scan, each with a carried state.
// Gu & Dao 2023, arXiv:2312.00752
#pragma once

#include <cstddef>
#include <cstdint>

#include "float/isa.hpp"
#include "float/parallel.hpp"

namespace orrery::flt {

// y[t, c] = activation(bias[c] + sum_j w[c, j] x[t - (K - 1) + j, c]); x before 0 is the state, [C, K - 1], oldest first.
// new_state may be state. Rows are `*_token` floats apart, channels 1.
struct CausalConvArgs {
    int64_t tokens, channels, kernel;
    const float* x;
    int64_t x_token;
    const float* w;     // [C, K]
    const float* bias;  // [C] or null
    const float* state;
    float* y;
    int64_t y_token;
    float* new_state;
    bool silu;
};
// h[c, n] = exp(d A[c, n]) h[c, n] + d B[t, n] u[t, c],  y[t, c] = (sum_n h[c, n] C[t, n] + D[c] u[t, c]) silu(z[t, c])
// with d = softplus(delta[t, c] + delta_bias[c]); D, z, delta_bias may be null; new_state may be state, [C, N].
struct ScanArgs {
    int64_t tokens, channels, states;
    const float *u, *delta, *a, *b, *c, *d, *z, *delta_bias, *state;
    int64_t u_token, delta_token, b_token, c_token, z_token;
    float* y;
    int64_t y_token;
    float* new_state;
    bool softplus;
};

// One sequence each; `sequences` of them lie in an array. Bits do not depend on how tokens are cut into calls, nor on threads.
size_t causal_conv_workspace_bytes(int64_t kernel, int threads);
void causal_conv(Isa isa, const CausalConvArgs* args, int64_t sequences, void* workspace, const Parallel& parallel);
size_t scan_workspace_bytes(int64_t states, int threads);
void selective_scan(Isa isa, const ScanArgs* args, int64_t sequences, void* workspace, const Parallel& parallel);

}  // namespace orrery::flt
