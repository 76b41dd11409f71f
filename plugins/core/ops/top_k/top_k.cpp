// The k largest elements of each row, largest first; of equals the first; NaN counts as largest. torch.topk.
#include <vector>

#include "common/shapes.hpp"
#include "common/walk.hpp"
#include "ops/top_k/top_k.hpp"

using namespace orrery;
using namespace orrery::core;

namespace {

void infer(const Infer& i) {
    const orr_value_info& x = i.in(0);
    const int64_t k = i.attr_int("k");
    if (x.rank == 0) throw Error(ORR_INVALID_ARGUMENT, "top_k: x has rank 0, it needs 1 or more");
    const orr_dim n = x.dims[x.rank - 1];
    if (k < 1 || (n >= 0 && n < k)) throw Error(ORR_INVALID_ARGUMENT, "top_k: k is " + std::to_string(k) + ", rows have " + Infer::text(n) + " elements");
    if (n > INT32_MAX) throw Error(ORR_INVALID_ARGUMENT, "top_k: rows have " + std::to_string(n) + " elements, an i32 counts to 2147483647");
    std::vector<orr_dim> dims = Infer::dims(x);
    dims.back() = k;
    i.out(0, ORR_TYPE_F32, dims);
    i.out(1, ORR_TYPE_I32, dims);
}

// Whether a stands before b.
inline bool before(float a, int32_t index_a, float b, int32_t index_b) {
    const bool nan_a = a != a, nan_b = b != b;
    if (nan_a || nan_b) return nan_a && nan_b ? index_a < index_b : nan_a;
    return a > b || (a == b && index_a < index_b);
}

orr_status run_reference(const orr_run* run) {
    return guard(run->host, [&] {
        const orr_tensor& x = *run->inputs[0];
        const int32_t last = x.rank - 1;
        const int64_t n = x.shape[last], k = run->attrs->get_int(run->attrs, "k");
        float* values = data<float>(run->outputs[0]);
        int32_t* indices = data<int32_t>(run->outputs[1]);
        std::vector<int32_t> order(static_cast<size_t>(n));
        for_each_index(last, shape_of(x), [&](const Index& at) {
            const int64_t base = offset_of(at, last, strides_of(x));
            const auto value = [&](int32_t j) { return element<float>(x, base + j * x.stride_bytes[last]); };
            for (int32_t j = 0; j < n; j++) order[j] = j;
            std::sort(order.begin(), order.end(), [&](int32_t a, int32_t b) { return before(value(a), a, value(b), b); });
            for (int64_t j = 0; j < k; j++) {
                *values++ = value(order[j]);
                *indices++ = order[j];
            }
        });
    });
}

bool supports(const orr_prepare* p, char* reason, size_t size) {
    return is_contiguous(*p->inputs[0]) || refuse(reason, size, "x must be contiguous");
}

// A heap of the k best so far, the worst on top, kept in the outputs themselves.
void select_row(const float* x, int64_t n, int64_t k, float* values, int32_t* indices) {
    const auto sink = [&](int64_t at, int64_t size, float v, int32_t index) {
        for (;;) {
            int64_t child = 2 * at + 1;
            if (child >= size) break;
            if (child + 1 < size && before(values[child], indices[child], values[child + 1], indices[child + 1])) child++;
            if (!before(v, index, values[child], indices[child])) break;
            values[at] = values[child];
            indices[at] = indices[child];
            at = child;
        }
        values[at] = v;
        indices[at] = index;
    };
    for (int64_t j = 0; j < k; j++) {
        values[j] = x[j];
        indices[j] = static_cast<int32_t>(j);
    }
    for (int64_t at = k / 2 - 1; at >= 0; at--) sink(at, k, values[at], indices[at]);
    for (int64_t j = k; j < n; j++) {
        if (x[j] <= values[0]) continue;  // equal: the earlier one stays
        if (before(x[j], static_cast<int32_t>(j), values[0], indices[0])) sink(0, k, x[j], static_cast<int32_t>(j));
    }
    for (int64_t size = k - 1; size > 0; size--) {
        const float v = values[size];
        const int32_t index = indices[size];
        values[size] = values[0];
        indices[size] = indices[0];
        sink(0, size, v, index);
    }
}

orr_status run_cpu(const orr_run* run) {
    return guard(run->host, [&] {
        const orr_tensor& x = *run->inputs[0];
        const int64_t n = x.shape[x.rank - 1], k = run->attrs->get_int(run->attrs, "k");
        const int64_t rows = elements(x) / std::max<int64_t>(1, n);
        for_ranges(run, rows, n, [&](int64_t begin, int64_t end) {
            for (int64_t r = begin; r < end; r++)
                select_row(data<float>(&x) + r * n, n, k, data<float>(run->outputs[0]) + r * k, data<int32_t>(run->outputs[1]) + r * k);
        });
    });
}

}  // namespace

const orr_operator* orr_op_top_k() {
    static const Operator op = Operator("orr.top_k/1", "the k largest elements of each row, largest first, and their places; torch.topk")
                                   .input("x", "f32", "[…, N]")
                                   .output("values", "[…, k], largest first")
                                   .output("indices", "[…, k], places in the row", "i32")
                                   .attr("k", ORR_ATTR_INT, nullptr, "elements to find, 1 … N", "[1, inf)")
                                   .infer(infer_guard<infer>)
                                   .kernel(kTopKVulkan)
                                   .kernel({"cpu", "cpu", 0, supports, nullptr, run_cpu})
                                   .kernel({"reference", "cpu", ORR_KERNEL_REFERENCE, nullptr, nullptr, run_reference});
    return op.table();
}
