#include "float/norm.hpp"

#include <algorithm>
#include <cmath>
#include <cstring>

#include "float/vector_kernels.hpp"

namespace orrery::flt {
namespace {

constexpr int64_t kSmall = 32768;  // elements that are not worth waking threads for

// each(x_row, y_row) over the rows, split where there is enough work.
template <typename Each>
void for_rows(const Rows& r, const Parallel& parallel, const Each& each) {
    if (r.rows == 0 || r.n == 0) return;
    const int64_t most = 4 * parallel.threads;
    const int64_t chunks = r.rows * r.n <= kSmall || parallel.threads == 1 ? 1 : std::min(r.rows, std::min(most, ceil_div(r.rows * r.n, kSmall / 4)));
    parallel_for(parallel, chunks, [&](int64_t c, int) {
        const Range range = part_of(r.rows, chunks, c);
        for (int64_t i = range.begin; i < range.end; ++i) each(r.x + i * r.x_row, r.y + i * r.y_row);
    });
}

}  // namespace

void rms_norm(Isa isa, const Rows& rows, const float* w, float w_offset, float eps, const Parallel& parallel) {
    const auto kernel = vector_kernels(isa).rms_norm;
    for_rows(rows, parallel, [&](const float* x, float* y) { kernel(x, w, w_offset, eps, y, rows.n); });
}

void layer_norm(Isa isa, const Rows& rows, const float* w, const float* b, float eps, const Parallel& parallel) {
    const auto kernel = vector_kernels(isa).layer_norm;
    for_rows(rows, parallel, [&](const float* x, float* y) { kernel(x, w, b, eps, y, rows.n); });
}

void l2_norm(Isa isa, const Rows& rows, float eps, const Parallel& parallel) {
    const VectorKernels& kernels = vector_kernels(isa);
    for_rows(rows, parallel, [&](const float* x, float* y) {
        const float norm = std::max(std::sqrt(kernels.sum_squares(x, rows.n)), eps);
        kernels.binary(Binary::div, x, 1, &norm, 0, y, rows.n);
    });
}

void softmax(Isa isa, const Rows& rows, const Parallel& parallel) {
    const auto kernel = vector_kernels(isa).softmax;
    for_rows(rows, parallel, [&](const float* x, float* y) { kernel(x, y, rows.n); });
}

void log_softmax(Isa isa, const Rows& rows, const Parallel& parallel) {
    const auto kernel = vector_kernels(isa).log_softmax;
    for_rows(rows, parallel, [&](const float* x, float* y) { kernel(x, y, rows.n); });
}

int64_t rope_workspace_floats(int64_t pairs) { return round_up(2 * pairs, 16); }

void rope(Isa isa, const RopeArgs& a, void* workspace, const Parallel& parallel) {
    const VectorKernels& kernels = vector_kernels(isa);
    const auto rotate = a.interleaved ? kernels.rotate_pairs : kernels.rotate_half;
    const int64_t rows = a.batch * a.tokens, rest = a.width - 2 * a.pairs;
    const auto turn = [&](int64_t row, int thread) {
        const int64_t b = row / a.tokens, t = row % a.tokens;
        const int32_t* positions = a.positions + b * a.position_batch;
        const bool far = a.switch_length > 0 && a.long_inv_freq != nullptr && *std::max_element(positions, positions + a.tokens) + int64_t{1} > a.switch_length;
        const float* table = far ? a.long_inv_freq : a.inv_freq;
        const float factor = far ? a.long_scale : a.scale, position = static_cast<float>(positions[t]);
        float* cosine = static_cast<float*>(workspace) + thread * rope_workspace_floats(a.pairs);
        float* sine = cosine + a.pairs;
        for (int64_t i = 0; i < a.pairs; ++i) {
            const float angle = position * table[i];
            cosine[i] = std::cos(angle) * factor;
            sine[i] = std::sin(angle) * factor;
        }
        for (int64_t h = 0; h < a.heads; ++h) {
            const float* x = a.x + b * a.x_batch + t * a.x_token + h * a.x_head;
            float* y = a.y + b * a.y_batch + t * a.y_token + h * a.y_head;
            rotate(x, cosine, sine, y, a.pairs);
            if (rest > 0 && x != y) std::memcpy(y + 2 * a.pairs, x + 2 * a.pairs, static_cast<size_t>(rest) * sizeof(float));
        }
    };
    if (rows * a.heads * a.width <= kSmall) {
        for (int64_t row = 0; row < rows; ++row) turn(row, 0);
    } else {
        parallel_for(parallel, rows, turn);
    }
}

}  // namespace orrery::flt
