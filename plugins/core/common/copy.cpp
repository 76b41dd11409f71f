#include "common/copy.hpp"

namespace orrery::core {
namespace {

template <class T>
void copy_elements(char* dst, int64_t step_dst, const char* src, int64_t step_src, int64_t count) {
    if (step_src == 0 && step_dst == sizeof(T)) {
        T value;
        std::memcpy(&value, src, sizeof(T));
        T* out = reinterpret_cast<T*>(dst);
        for (int64_t k = 0; k < count; k++) out[k] = value;
        return;
    }
    for (int64_t k = 0; k < count; k++) std::memcpy(dst + k * step_dst, src + k * step_src, sizeof(T));
}

// Rows that step across memory on one side are copied in square tiles, so that both sides use whole cache lines.
constexpr int64_t kTile = 16;

template <class T>
void copy_tile(char* dst, int64_t dst_outer, int64_t dst_inner, const char* src, int64_t src_outer, int64_t src_inner, int64_t outer, int64_t inner) {
    for (int64_t j0 = 0; j0 < inner; j0 += kTile) {
        const int64_t j1 = std::min(inner, j0 + kTile);
        for (int64_t i = 0; i < outer; i++)
            for (int64_t j = j0; j < j1; j++) std::memcpy(dst + i * dst_outer + j * dst_inner, src + i * src_outer + j * src_inner, sizeof(T));
    }
}

void copy_plane(char* dst, int64_t dst_outer, int64_t dst_inner, const char* src, int64_t src_outer, int64_t src_inner, int64_t outer, int64_t inner,
                int64_t bytes) {
    switch (bytes) {
        case 1: return copy_tile<uint8_t>(dst, dst_outer, dst_inner, src, src_outer, src_inner, outer, inner);
        case 2: return copy_tile<uint16_t>(dst, dst_outer, dst_inner, src, src_outer, src_inner, outer, inner);
        case 4: return copy_tile<uint32_t>(dst, dst_outer, dst_inner, src, src_outer, src_inner, outer, inner);
        default: return copy_tile<uint64_t>(dst, dst_outer, dst_inner, src, src_outer, src_inner, outer, inner);
    }
}

// The innermost axis is strided in src: pairs it with the axis that is contiguous there, when there is one.
// Returns the outer axis of the loop to pair, or -1.
int32_t transposed_axis(const Loop<2>& loop, int64_t bytes) {
    if (loop.step[1] == bytes || loop.step[1] == 0 || loop.step[0] != bytes) return -1;
    for (int32_t axis = 0; axis < loop.rank; axis++)
        if (loop.stride[1][axis] == bytes) return axis;
    return -1;
}

void copy_transposed(const orr_run* run, const Loop<2>& loop, int32_t axis, char* dst, const char* src, int64_t bytes) {
    Index shape{};
    std::array<Index, 2> stride{};
    int32_t rank = 0;
    int64_t planes = 1;
    for (int32_t n = 0; n < loop.rank; n++) {
        if (n == axis) continue;
        shape[rank] = loop.shape[n];
        stride[0][rank] = loop.stride[0][n];
        stride[1][rank] = loop.stride[1][n];
        planes *= loop.shape[n];
        rank++;
    }
    const int64_t strips = (loop.shape[axis] + kTile - 1) / kTile;
    for_ranges(run, planes * strips, kTile * loop.inner, [&](int64_t begin, int64_t end) {
        for (int64_t unit = begin; unit < end; unit++) {
            Index index{};
            int64_t plane = unit / strips;
            for (int32_t n = rank - 1; n >= 0; n--) {
                index[n] = plane % shape[n];
                plane /= shape[n];
            }
            const int64_t first = unit % strips * kTile;
            copy_plane(dst + offset_of(index, rank, stride[0]) + first * loop.stride[0][axis], loop.stride[0][axis], loop.step[0],
                       src + offset_of(index, rank, stride[1]) + first * bytes, bytes, loop.step[1], std::min(kTile, loop.shape[axis] - first),
                       loop.inner, bytes);
        }
    });
}

}  // namespace

void copy_reference(const orr_tensor& y, const Index& stride_y, const orr_tensor& x, int64_t offset_x, const Index& stride_x) {
    for_each_index(y.rank, shape_of(y), [&](const Index& at) {
        std::memcpy(static_cast<char*>(y.data) + offset_of(at, y.rank, stride_y),
                    static_cast<const char*>(x.data) + offset_x + offset_of(at, y.rank, stride_x), y.block_bytes);
    });
}

void copy_row(char* dst, int64_t step_dst, const char* src, int64_t step_src, int64_t count, int64_t bytes) {
    if (step_dst == bytes && step_src == bytes) {
        std::memcpy(dst, src, static_cast<size_t>(count * bytes));
        return;
    }
    switch (bytes) {
        case 1: return copy_elements<uint8_t>(dst, step_dst, src, step_src, count);
        case 2: return copy_elements<uint16_t>(dst, step_dst, src, step_src, count);
        case 4: return copy_elements<uint32_t>(dst, step_dst, src, step_src, count);
        default: return copy_elements<uint64_t>(dst, step_dst, src, step_src, count);
    }
}

void copy_strided(const orr_run* run, int32_t rank, const Index& shape, char* dst, const Index& stride_dst, const char* src, const Index& stride_src,
                  int64_t bytes) {
    const auto loop = make_loop<2>(rank, shape, {stride_dst, stride_src});
    const int32_t axis = transposed_axis(loop, bytes);
    if (axis >= 0) return copy_transposed(run, loop, axis, dst, src, bytes);
    for_pieces(run, loop, [&](const std::array<int64_t, 2>& at, int64_t n) {
        copy_row(dst + at[0], loop.step[0], src + at[1], loop.step[1], n, bytes);
    });
}

}  // namespace orrery::core
