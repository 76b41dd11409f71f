// The definition: y[.., m, n] = scale sum_k a[.., m, k] b[.., k, n], sums in f64.
#include "ops/matmul/matmul.hpp"

namespace orrery::core {
namespace {

orr_status run(const orr_run* run) {
    return guard(run->host, [&] {
        const orr_tensor &a = *run->inputs[0], &b = *run->inputs[1], &y = *run->outputs[0];
        const MatmulAxes axes = matmul_axes(run->attrs, b);
        const double scale = run->attrs->get_float(run->attrs, "scale");
        const int64_t m = y.shape[y.rank - 2], n = y.shape[y.rank - 1], k = a.shape[a.rank - 1];
        for (int64_t batch = 0; batch < flt::row_count(y, 2); ++batch) {
            int64_t at_a = 0, at_b = 0, rest = batch;
            for (int32_t axis = y.rank - 3; axis >= 0; --axis) {
                const int64_t i = rest % y.shape[axis];
                rest /= y.shape[axis];
                at_a += i * batch_stride(a, axis, y.rank);
                at_b += i * batch_stride(b, axis, y.rank);
            }
            const char *pa = data<char>(&a) + at_a, *pb = data<char>(&b) + at_b;
            char* py = data<char>(&y) + flt::row_offset(y, batch, 2);
            for (int64_t r = 0; r < m; ++r)
                for (int64_t c = 0; c < n; ++c) {
                    double sum = 0;
                    for (int64_t j = 0; j < k; ++j)
                        sum += flt::number_at(ORR_TYPE_F32, pa + r * a.stride_bytes[a.rank - 2] + j * a.stride_bytes[a.rank - 1]) *
                               flt::number_at(ORR_TYPE_F32, pb + j * b.stride_bytes[axes.k] + c * b.stride_bytes[axes.n]);
                    const auto value = static_cast<float>(scale * sum);
                    std::memcpy(py + r * y.stride_bytes[y.rank - 2] + c * y.stride_bytes[y.rank - 1], &value, 4);
                }
        }
    });
}

}  // namespace

const KernelDef kMatmulReference = {"reference", "cpu", ORR_KERNEL_REFERENCE, nullptr, nullptr, run};

}  // namespace orrery::core
