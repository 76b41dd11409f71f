// y[b, …] = x[b, index[b], …]: one row of each sequence.
#include "common/copy.hpp"
#include "common/number.hpp"
#include "common/shapes.hpp"
#include "ops/gather_rows/gather_rows.hpp"

using namespace orrery;
using namespace orrery::core;

namespace {

void infer(const Infer& i) {
    const orr_value_info &x = i.in(0), &index = i.in(1);
    if (x.rank < 2) throw Error(ORR_INVALID_ARGUMENT, "gather_rows: x has rank " + std::to_string(x.rank) + ", it needs 2 or more");
    i.rank(1, 1, "gather_rows: index");
    i.same(x.dims[0], index.dims[0], "gather_rows: batch of x and index");
    std::vector<orr_dim> dims = Infer::dims(x);
    dims.erase(dims.begin() + 1);
    i.out(0, x.type, dims);
}

int64_t checked_row(const orr_run* run, int64_t b) {
    const orr_tensor &x = *run->inputs[0], &index = *run->inputs[1];
    const int64_t t = integer_at(index, b * index.stride_bytes[0]);
    if (t < 0 || t >= x.shape[1]) throw Error(ORR_INVALID_ARGUMENT, gather_rows_refusal(std::to_string(t), x.shape[1]));
    return t;
}

orr_status run_reference(const orr_run* run) {
    return guard(run->host, [&] {
        const orr_tensor &x = *run->inputs[0], &y = *run->outputs[0];
        for_each_index(y.rank, shape_of(y), [&](const Index& at) {
            Index src{};
            src[0] = at[0];
            src[1] = checked_row(run, at[0]);
            for (int32_t k = 2; k < x.rank; k++) src[k] = at[k - 1];
            std::memcpy(static_cast<char*>(y.data) + offset_of(at, y.rank, strides_of(y)),
                        static_cast<const char*>(x.data) + offset_of(src, x.rank, strides_of(x)), x.block_bytes);
        });
    });
}

orr_status run_cpu(const orr_run* run) {
    return guard(run->host, [&] {
        const orr_tensor &x = *run->inputs[0], &y = *run->outputs[0];
        if (is_empty(y.rank, shape_of(y))) return;
        Index shape{}, to{}, from{};
        for (int32_t k = 1; k < y.rank; k++) {
            shape[k - 1] = y.shape[k];
            to[k - 1] = y.stride_bytes[k];
            from[k - 1] = x.stride_bytes[k + 1];
        }
        for (int64_t b = 0; b < y.shape[0]; b++) {
            const int64_t t = checked_row(run, b);
            copy_strided(run, y.rank - 1, shape, static_cast<char*>(y.data) + b * y.stride_bytes[0], to,
                         static_cast<const char*>(x.data) + b * x.stride_bytes[0] + t * x.stride_bytes[1], from, x.block_bytes);
        }
    });
}

}  // namespace

const orr_operator* orr_op_gather_rows() {
    static const Operator op = Operator("orr.gather_rows/1", "y[b] = x[b, index[b]]: one row of each sequence")
                                   .input("x", kPlainTypes, "[B, T, …]")
                                   .input("index", "i32 i64", "[B], values in [0, T)")
                                   .output("y", "[B, …]", kPlainTypes)
                                   .infer(infer_guard<infer>)
                                   .kernel(kGatherRowsVulkan)
                                   .kernel({"cpu", "cpu", 0, nullptr, nullptr, run_cpu})
                                   .kernel({"reference", "cpu", ORR_KERNEL_REFERENCE, nullptr, nullptr, run_reference});
    return op.table();
}
