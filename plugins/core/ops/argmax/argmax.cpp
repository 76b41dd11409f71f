// y = the place of the largest element along an axis, the first of equals; a NaN counts as largest. torch.argmax.
#include "common/shapes.hpp"
#include "common/walk.hpp"
#include "ops/argmax/argmax.hpp"

using namespace orrery;
using namespace orrery::core;

namespace {

void infer(const Infer& i) {
    const orr_value_info& x = i.in(0);
    const int32_t axis = normal_axis(i.attr_int("axis"), x.rank, "argmax");
    if (x.dims[axis] == 0) throw Error(ORR_INVALID_ARGUMENT, "argmax: axis " + std::to_string(axis) + " has 0 elements");
    if (x.dims[axis] > INT32_MAX)
        throw Error(ORR_INVALID_ARGUMENT, "argmax: axis " + std::to_string(axis) + " has " + std::to_string(x.dims[axis]) + " elements, an i32 counts to 2147483647");
    std::vector<orr_dim> dims = Infer::dims(x);
    if (i.attr_int("keepdims")) {
        dims[axis] = 1;
    } else {
        dims.erase(dims.begin() + axis);
    }
    i.out(0, ORR_TYPE_I32, dims);
}

template <class T>
int32_t largest(const char* x, int64_t step, int64_t n) {
    int32_t best = 0;
    T value = *reinterpret_cast<const T*>(x);
    for (int64_t k = 1; k < n && value == value; k++) {
        const T v = *reinterpret_cast<const T*>(x + k * step);
        if (v > value || v != v) {
            value = v;
            best = static_cast<int32_t>(k);
        }
    }
    return best;
}

// Finds the largest value of a stretch with vector compares first, then its place.
int32_t largest_row(const float* x, int64_t n) {
    constexpr int kLanes = 16;
    float lane[kLanes];
    std::fill(lane, lane + kLanes, x[0]);
    bool nan = false;
    int64_t k = 0;
    for (; k + kLanes <= n; k += kLanes) {
        int odd = 0;
        for (int c = 0; c < kLanes; c++) {
            lane[c] = x[k + c] > lane[c] ? x[k + c] : lane[c];
            odd |= x[k + c] != x[k + c];
        }
        nan = nan || odd;
    }
    if (nan) return largest<float>(reinterpret_cast<const char*>(x), sizeof(float), n);
    float best = lane[0];
    for (int c = 1; c < kLanes; c++) best = lane[c] > best ? lane[c] : best;
    for (; k < n; k++) {
        if (x[k] != x[k]) return largest<float>(reinterpret_cast<const char*>(x), sizeof(float), n);
        best = x[k] > best ? x[k] : best;
    }
    const float* at = std::find(x, x + n, best);
    return static_cast<int32_t>(at - x);
}

// x's axes without the searched one.
struct Outer {
    int32_t rank = 0, axis;
    Index shape{}, stride{};
    explicit Outer(const orr_run* run) {
        const orr_tensor& x = *run->inputs[0];
        axis = normal_axis(run->attrs->get_int(run->attrs, "axis"), x.rank, "argmax");
        for (int32_t k = 0; k < x.rank; k++) {
            if (k == axis) continue;
            shape[rank] = x.shape[k];
            stride[rank++] = x.stride_bytes[k];
        }
    }
};

orr_status run_reference(const orr_run* run) {
    return guard(run->host, [&] {
        const orr_tensor& x = *run->inputs[0];
        const Outer outer(run);
        const auto find = x.type == ORR_TYPE_F32 ? largest<float> : x.type == ORR_TYPE_I64 ? largest<int64_t> : largest<int32_t>;
        int32_t* y = data<int32_t>(run->outputs[0]);
        for_each_index(outer.rank, outer.shape, [&](const Index& at) {
            *y++ = find(static_cast<const char*>(x.data) + offset_of(at, outer.rank, outer.stride), x.stride_bytes[outer.axis], x.shape[outer.axis]);
        });
    });
}

bool supports(const orr_prepare* p, char* reason, size_t size) {
    const orr_tensor& x = *p->inputs[0];
    if (x.type != ORR_TYPE_F32) return refuse(reason, size, std::string("takes f32, not ") + type_name(x.type));
    if (!is_contiguous(x)) return refuse(reason, size, "x must be contiguous");
    const int32_t axis = normal_axis(p->attrs->get_int(p->attrs, "axis"), x.rank, "argmax");
    if (elements(x, axis + 1) != 1) return refuse(reason, size, "takes the last axis");
    return true;
}

orr_status run_cpu(const orr_run* run) {
    return guard(run->host, [&] {
        const orr_tensor& x = *run->inputs[0];
        const Outer outer(run);
        const int64_t n = x.shape[outer.axis];
        int32_t* y = data<int32_t>(run->outputs[0]);
        for_ranges(run, elements(x) / n, n, [&](int64_t begin, int64_t end) {
            for (int64_t r = begin; r < end; r++) y[r] = largest_row(data<float>(&x) + r * n, n);
        });
    });
}

}  // namespace

const orr_operator* orr_op_argmax() {
    static const Operator op = Operator("orr.argmax/1", "the place of the largest element along an axis; torch.argmax")
                                   .input("x", kNumberTypes, "any shape")
                                   .output("y", "the shape of x without `axis`, or with extent 1 there", "i32")
                                   .attr("axis", ORR_ATTR_INT, "-1", "axis to search; negative ones count from the end", "[-8, 7]")
                                   .attr("keepdims", ORR_ATTR_BOOL, "false", "keep the axis with extent 1")
                                   .infer(infer_guard<infer>)
                                   .kernel(kArgmaxVulkan)
                                   .kernel({"cpu", "cpu", 0, supports, nullptr, run_cpu})
                                   .kernel({"reference", "cpu", ORR_KERNEL_REFERENCE, nullptr, nullptr, run_reference});
    return op.table();
}
