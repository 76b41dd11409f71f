// Ways through tensors: odometer over any strides for references, merged rows for kernels.
#pragma once

#include <algorithm>
#include <array>
#include <cstdint>

#include "orrery/plugin.hpp"

namespace orrery::core {

using Index = std::array<int64_t, ORR_MAX_RANK>;

// Below this many elements a kernel stays on the calling thread.
inline constexpr int64_t kParallelElems = 32 * 1024;
inline constexpr int64_t kChunkElems = 16 * 1024;

inline Index shape_of(const orr_tensor& t) {
    Index shape{};
    std::copy(t.shape, t.shape + t.rank, shape.begin());
    return shape;
}
inline Index strides_of(const orr_tensor& t) {
    Index strides{};
    std::copy(t.stride_bytes, t.stride_bytes + t.rank, strides.begin());
    return strides;
}

// Moves to the next index in row-major order; false after the last one.
inline bool advance(Index& index, int32_t rank, const Index& shape) {
    for (int32_t axis = rank - 1; axis >= 0; axis--) {
        if (++index[axis] < shape[axis]) return true;
        index[axis] = 0;
    }
    return false;
}
inline int64_t offset_of(const Index& index, int32_t rank, const Index& strides) {
    int64_t bytes = 0;
    for (int32_t axis = 0; axis < rank; axis++) bytes += index[axis] * strides[axis];
    return bytes;
}
inline bool is_empty(int32_t rank, const Index& shape) {
    return std::any_of(shape.begin(), shape.begin() + rank, [](int64_t n) { return n <= 0; });
}

// Calls body(index) for every index of the shape, in row-major order.
template <class Body>
void for_each_index(int32_t rank, const Index& shape, Body&& body) {
    if (is_empty(rank, shape)) return;
    Index index{};
    do body(index);
    while (advance(index, rank, shape));
}

template <class T>
T& element(const orr_tensor& t, int64_t offset_bytes) {
    return *reinterpret_cast<T*>(static_cast<char*>(t.data) + offset_bytes);
}

// Strides of t read at an output of `rank` axes: axes are aligned at the right, axes of extent 1 stand still.
inline Index broadcast_strides(const orr_tensor& t, int32_t rank) {
    Index strides{};
    for (int32_t axis = 0; axis < t.rank; axis++)
        if (t.shape[axis] != 1) strides[rank - t.rank + axis] = t.stride_bytes[axis];
    return strides;
}

// A loop over N operands at once. Neighbouring axes that step alike in every operand are one axis.
template <int N>
struct Loop {
    int64_t rows = 1;               // product of the outer axes
    int64_t inner = 1;              // extent of the inner axis
    int32_t rank = 0;               // outer axes
    Index shape{};                  // of the outer axes
    std::array<Index, N> stride{};  // bytes along the outer axes
    std::array<int64_t, N> step{};  // bytes along the inner axis
};

template <int N>
Loop<N> make_loop(int32_t rank, const Index& shape, const std::array<Index, N>& strides) {
    Loop<N> loop;
    if (is_empty(rank, shape)) {
        loop.rows = 0;
        return loop;
    }
    // Axes from the inside outwards: groups[0] is the inner one.
    Index extent{};
    std::array<Index, N> step{};
    int32_t groups = 0;
    for (int32_t axis = rank - 1; axis >= 0; axis--) {
        if (shape[axis] == 1) continue;
        bool merges = groups > 0;
        for (int n = 0; n < N && merges; n++) merges = strides[n][axis] == step[n][groups - 1] * extent[groups - 1];
        if (merges) {
            extent[groups - 1] *= shape[axis];
            continue;
        }
        extent[groups] = shape[axis];
        for (int n = 0; n < N; n++) step[n][groups] = strides[n][axis];
        groups++;
    }
    if (groups == 0) return loop;
    loop.inner = extent[0];
    for (int n = 0; n < N; n++) loop.step[n] = step[n][0];
    loop.rank = groups - 1;
    for (int32_t g = 1; g < groups; g++) {
        loop.shape[groups - 1 - g] = extent[g];
        loop.rows *= extent[g];
        for (int n = 0; n < N; n++) loop.stride[n][groups - 1 - g] = step[n][g];
    }
    return loop;
}

// Calls body(offsets, count): `count` elements of the inner axis from the byte offsets on, on the run's threads when the
// loop is long. Every element is visited once, whatever the number of threads.
template <int N, class Body>
void for_pieces(const orr_run* run, const Loop<N>& loop, Body&& body) {
    if (loop.rows == 0) return;
    const int64_t piece = std::min(loop.inner, kChunkElems);
    const int64_t pieces = (loop.inner + piece - 1) / piece;
    const int64_t units = loop.rows * pieces;
    const auto units_of = [&](int64_t begin, int64_t end) {
        Index index{};
        int64_t row = begin / pieces, part = begin % pieces;
        for (int32_t axis = loop.rank - 1; axis >= 0; axis--) {
            index[axis] = row % loop.shape[axis];
            row /= loop.shape[axis];
        }
        for (int64_t unit = begin; unit < end; unit++) {
            const int64_t first = part * piece;
            std::array<int64_t, N> offsets;
            for (int n = 0; n < N; n++) offsets[n] = offset_of(index, loop.rank, loop.stride[n]) + first * loop.step[n];
            body(offsets, std::min(piece, loop.inner - first));
            if (++part == pieces) {
                part = 0;
                advance(index, loop.rank, loop.shape);
            }
        }
    };
    if (loop.rows * loop.inner <= kParallelElems) return units_of(0, units);
    const int64_t per_chunk = std::max<int64_t>(1, kChunkElems / piece);
    parallel_for(run, (units + per_chunk - 1) / per_chunk,
                 [&](int64_t chunk, uint32_t) { units_of(chunk * per_chunk, std::min(units, (chunk + 1) * per_chunk)); });
}

// Calls body(begin, end) over [0, count), in parallel when count * elems_each is long.
template <class Body>
void for_ranges(const orr_run* run, int64_t count, int64_t elems_each, Body&& body) {
    if (count <= 0) return;
    if (count * elems_each <= kParallelElems) return body(int64_t{0}, count);
    const int64_t per_chunk = std::max<int64_t>(1, kChunkElems / std::max<int64_t>(1, elems_each));
    parallel_for(run, (count + per_chunk - 1) / per_chunk,
                 [&](int64_t chunk, uint32_t) { body(chunk * per_chunk, std::min(count, (chunk + 1) * per_chunk)); });
}

}  // namespace orrery::core
