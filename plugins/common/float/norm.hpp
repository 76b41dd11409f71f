// Normalisations, softmax and rotary embedding over rows of f32.
#pragma once

#include <cstdint>

#include "float/isa.hpp"
#include "float/parallel.hpp"

namespace orrery::flt {

// `rows` rows of `n`, `x_row` / `y_row` floats apart; y may be x. A row's bits depend on n and the instruction set alone.
struct Rows {
    const float* x;
    float* y;
    int64_t rows, n, x_row, y_row;
};

// y = x / sqrt(mean(x^2) + eps) * (w + w_offset); w may be null. Zhang & Sennrich 2019, arXiv:1910.07467
void rms_norm(Isa isa, const Rows& rows, const float* w, float w_offset, float eps, const Parallel& parallel);
// y = (x - mean(x)) / sqrt(var(x) + eps) * w + b, biased variance; w and b may be null. Ba et al. 2016, arXiv:1607.06450
void layer_norm(Isa isa, const Rows& rows, const float* w, const float* b, float eps, const Parallel& parallel);
// y = x / max(||x||, eps)
void l2_norm(Isa isa, const Rows& rows, float eps, const Parallel& parallel);
// y = e^(x - max) / sum. A row of -inf throughout gives zeros.
void softmax(Isa isa, const Rows& rows, const Parallel& parallel);
// y = x - max - ln sum e^(x - max)
void log_softmax(Isa isa, const Rows& rows, const Parallel& parallel);

// Rotary position embedding. Su et al. 2021, arXiv:2104.09864
// Angle of pair i at position p: p * inv_freq[i]; cos and sin are multiplied by `scale`. 2 * pairs <= D; what lies beyond passes.
struct RopeArgs {
    int64_t batch, tokens, heads, width, pairs;
    const float* x;
    int64_t x_batch, x_token, x_head;  // floats; last axis contiguous
    float* y;
    int64_t y_batch, y_token, y_head;
    // Position of (b, t), and the table and scale of sequence b.
    const int32_t* positions;  // [B, T]
    int64_t position_batch;    // 0: one row serves all
    const float* inv_freq;
    float scale;
    const float* long_inv_freq;  // used by sequences whose largest position + 1 exceeds switch_length; may be null
    float long_scale;
    int64_t switch_length;  // 0: never
    bool interleaved;       // pairs (2i, 2i + 1); else (i, i + pairs)
};
// Floats of workspace for each thread.
int64_t rope_workspace_floats(int64_t pairs);
void rope(Isa isa, const RopeArgs& args, void* workspace, const Parallel& parallel);

}  // namespace orrery::flt
