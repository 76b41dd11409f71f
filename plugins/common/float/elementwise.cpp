#include "float/elementwise.hpp"

#include <algorithm>

namespace orrery::flt {
namespace {

constexpr int64_t kSmall = 32768;

// each(begin, count) over [0, n), in pieces of whole cache lines.
template <typename Each>
void for_pieces(int64_t n, const Parallel& parallel, const Each& each) {
    if (n <= kSmall || parallel.threads == 1) return each(0, n);
    const int64_t chunks = std::min<int64_t>(4 * parallel.threads, n / (kSmall / 4)), lines = ceil_div(n, 16);
    parallel_for(parallel, chunks, [&](int64_t c, int) {
        const Range range = part_of(lines, chunks, c);
        const int64_t begin = range.begin * 16, end = std::min(range.end * 16, n);
        if (begin < end) each(begin, end - begin);
    });
}

}  // namespace

void unary(Isa isa, Unary op, const float* x, float* y, int64_t n, const Parallel& parallel) {
    const auto kernel = vector_kernels(isa).unary;
    for_pieces(n, parallel, [&](int64_t at, int64_t count) { kernel(op, x + at, y + at, count); });
}

void binary(Isa isa, Binary op, const BinaryArgs& a, const Parallel& parallel) {
    const auto kernel = vector_kernels(isa).binary;
    const int64_t chunks = a.rows * a.n <= kSmall || parallel.threads == 1 ? 1 : std::min<int64_t>(a.rows, 4 * parallel.threads);
    if (a.rows == 1) {
        return for_pieces(a.n, parallel, [&](int64_t at, int64_t count) {
            kernel(op, a.a + at * a.a_step, a.a_step, a.b + at * a.b_step, a.b_step, a.y + at, count);
        });
    }
    parallel_for(parallel, chunks, [&](int64_t c, int) {
        const Range range = part_of(a.rows, chunks, c);
        for (int64_t r = range.begin; r < range.end; ++r)
            kernel(op, a.a + r * a.a_row, a.a_step, a.b + r * a.b_row, a.b_step, a.y + r * a.y_row, a.n);
    });
}

void gated(Isa isa, Activation activation, const float* gate, const float* up, float* y, int64_t n, const Parallel& parallel) {
    const auto kernel = vector_kernels(isa).gated;
    for_pieces(n, parallel, [&](int64_t at, int64_t count) { kernel(activation, gate + at, up + at, y + at, count); });
}

}  // namespace orrery::flt
