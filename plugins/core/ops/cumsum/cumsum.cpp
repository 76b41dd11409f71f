// y[t] = x[0] + … + x[t] along an axis; torch.cumsum. f32 in f64, rounded at each output; integers wrap.
#include <type_traits>

#include "common/shapes.hpp"
#include "common/walk.hpp"
#include "ops/cumsum/cumsum.hpp"

using namespace orrery;
using namespace orrery::core;

namespace {

void infer(const Infer& i) {
    normal_axis(i.attr_int("axis"), i.in(0).rank, "cumsum");
    i.out(0, i.in(0).type, Infer::dims(i.in(0)));
}

template <class T>
using Sum = std::conditional_t<std::is_same_v<T, float>, double, std::make_unsigned_t<std::conditional_t<std::is_same_v<T, float>, int32_t, T>>>;

// The axes without the summed one, of x and of y.
struct Outer {
    int32_t rank = 0, axis;
    Index shape{}, stride_x{}, stride_y{};
    explicit Outer(const orr_run* run) {
        const orr_tensor &x = *run->inputs[0], &y = *run->outputs[0];
        axis = normal_axis(run->attrs->get_int(run->attrs, "axis"), x.rank, "cumsum");
        for (int32_t k = 0; k < x.rank; k++) {
            if (k == axis) continue;
            shape[rank] = x.shape[k];
            stride_x[rank] = x.stride_bytes[k];
            stride_y[rank++] = y.stride_bytes[k];
        }
    }
};

template <class T>
void scan(const orr_tensor& x, int64_t at_x, const orr_tensor& y, int64_t at_y, int32_t axis) {
    Sum<T> sum = 0;
    for (int64_t k = 0; k < x.shape[axis]; k++) {
        sum += static_cast<Sum<T>>(element<T>(x, at_x + k * x.stride_bytes[axis]));
        element<T>(y, at_y + k * y.stride_bytes[axis]) = static_cast<T>(sum);
    }
}

template <class T>
void reference_of(const orr_run* run) {
    const Outer o(run);
    for_each_index(o.rank, o.shape, [&](const Index& at) {
        scan<T>(*run->inputs[0], offset_of(at, o.rank, o.stride_x), *run->outputs[0], offset_of(at, o.rank, o.stride_y), o.axis);
    });
}

orr_status run_reference(const orr_run* run) {
    return guard(run->host, [&] {
        switch (run->inputs[0]->type) {
            case ORR_TYPE_I32: return reference_of<int32_t>(run);
            case ORR_TYPE_I64: return reference_of<int64_t>(run);
            default: return reference_of<float>(run);
        }
    });
}

bool supports(const orr_prepare* p, char* reason, size_t size) {
    const orr_tensor& x = *p->inputs[0];
    if (x.type != ORR_TYPE_F32) return refuse(reason, size, std::string("takes f32, not ") + type_name(x.type));
    return is_contiguous(x) || refuse(reason, size, "x must be contiguous");
}

// [outer, n, inner], blocks of columns together.
orr_status run_cpu(const orr_run* run) {
    return guard(run->host, [&] {
        constexpr int64_t kColumns = 64;
        const orr_tensor& x = *run->inputs[0];
        const int32_t axis = normal_axis(run->attrs->get_int(run->attrs, "axis"), x.rank, "cumsum");
        const int64_t n = x.shape[axis], inner = elements(x, axis + 1), blocks = (inner + kColumns - 1) / kColumns;
        if (elements(x) == 0) return;
        const int64_t outer = elements(x) / (n * inner);
        for_ranges(run, outer * blocks, n * std::min(inner, kColumns), [&](int64_t begin, int64_t end) {
            for (int64_t unit = begin; unit < end; unit++) {
                const int64_t first = unit % blocks * kColumns, width = std::min(kColumns, inner - first);
                const int64_t base = unit / blocks * n * inner + first;
                const float* src = data<float>(&x) + base;
                float* dst = data<float>(run->outputs[0]) + base;
                double sum[kColumns] = {};
                for (int64_t t = 0; t < n; t++)
                    for (int64_t c = 0; c < width; c++) {
                        sum[c] += static_cast<double>(src[t * inner + c]);
                        dst[t * inner + c] = static_cast<float>(sum[c]);
                    }
            }
        });
    });
}

}  // namespace

const orr_operator* orr_op_cumsum() {
    static const Operator op = Operator("orr.cumsum/1", "running sums along an axis; torch.cumsum")
                                   .input("x", kNumberTypes, "any shape")
                                   .output("y", "the shape of x", kNumberTypes)
                                   .attr("axis", ORR_ATTR_INT, nullptr, "axis to sum along; negative ones count from the end", "[-8, 7]")
                                   .infer(infer_guard<infer>)
                                   .kernel(kCumsumVulkan)
                                   .kernel({"cpu", "cpu", 0, supports, nullptr, run_cpu})
                                   .kernel({"reference", "cpu", ORR_KERNEL_REFERENCE, nullptr, nullptr, run_reference});
    return op.table();
}
