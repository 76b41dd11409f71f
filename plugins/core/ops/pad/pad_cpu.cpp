// Row by row: the ends of the last axis element by element, its middle as one copy.
#include "common/copy.hpp"
#include "common/number.hpp"
#include "ops/pad/pad.hpp"

namespace orrery::core {
namespace {

struct Rows {
    const orr_tensor& x;
    const orr_tensor& y;
    Padding padding;
    char constant[8];

    // Row `number` of y, counted over all axes but the last.
    void fill(int64_t number) const {
        const int32_t last = y.rank - 1;
        const int64_t bytes = x.block_bytes, width = x.shape[last];
        const char* src = static_cast<const char*>(x.data);
        char* dst = static_cast<char*>(y.data) + number * y.shape[last] * bytes;
        bool inside = true;
        for (int32_t axis = last - 1; axis >= 0; axis--) {
            const int64_t from = padding.source(number % y.shape[axis], axis, x.shape[axis]);
            number /= y.shape[axis];
            inside = inside && from >= 0;
            src += from * x.stride_bytes[axis];
        }
        if (!inside) return copy_row(dst, bytes, constant, 0, y.shape[last], bytes);
        const int64_t before = padding.before[last];
        for (int64_t at = 0; at < before; at++) put(dst + at * bytes, src, at);
        copy_row(dst + before * bytes, bytes, src, x.stride_bytes[last], width, bytes);
        for (int64_t at = before + width; at < y.shape[last]; at++) put(dst + at * bytes, src, at);
    }
    void put(char* dst, const char* row, int64_t at) const {
        const int32_t last = y.rank - 1;
        const int64_t from = padding.source(at, last, x.shape[last]);
        std::memcpy(dst, from < 0 ? constant : row + from * x.stride_bytes[last], x.block_bytes);
    }
};

}  // namespace

orr_status pad_cpu(const orr_run* run) {
    return guard(run->host, [&] {
        const orr_tensor &x = *run->inputs[0], &y = *run->outputs[0];
        if (y.rank == 0) {
            std::memcpy(y.data, x.data, x.block_bytes);
            return;
        }
        Rows rows{x, y, padding_of(run->attrs, x.rank), {}};
        encode(x.type, rows.padding.value, rows.constant);
        if (is_empty(y.rank, shape_of(y))) return;
        const int64_t width = y.shape[y.rank - 1];
        for_ranges(run, elements(y) / width, width, [&](int64_t begin, int64_t end) {
            for (int64_t n = begin; n < end; n++) rows.fill(n);
        });
    });
}

}  // namespace orrery::core
