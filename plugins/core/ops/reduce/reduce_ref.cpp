// One output after another, in f64; var and std in two passes. Integers wrap.
#include <type_traits>

#include "common/shapes.hpp"
#include "ops/reduce/reduce.hpp"

namespace orrery::core {
namespace {

// x's axes in two lots: those that y keeps, in order, and those that are reduced.
struct Axes {
    int32_t kept = 0, reduced = 0;
    Index kept_shape{}, kept_stride{}, reduced_shape{}, reduced_stride{};
    int64_t count = 1;  // elements behind one output

    Axes(const orr_tensor& x, uint32_t bits) {
        for (int32_t axis = 0; axis < x.rank; axis++) {
            if (bits >> axis & 1) {
                reduced_shape[reduced] = x.shape[axis];
                reduced_stride[reduced++] = x.stride_bytes[axis];
                count *= x.shape[axis];
            } else {
                kept_shape[kept] = x.shape[axis];
                kept_stride[kept++] = x.stride_bytes[axis];
            }
        }
    }
    // Calls body(element of x) for the elements behind the output at `at`.
    template <class T, class Body>
    void each(const orr_tensor& x, const Index& at, Body&& body) const {
        const int64_t base = offset_of(at, kept, kept_stride);
        for_each_index(reduced, reduced_shape, [&](const Index& r) { body(element<T>(x, base + offset_of(r, reduced, reduced_stride))); });
    }
};

template <Reduction F>
void reduce_floats(const orr_tensor& x, const orr_tensor& y, const Axes& axes, bool unbiased) {
    int64_t n = 0;
    for_each_index(axes.kept, axes.kept_shape, [&](const Index& at) {
        double centre = 0;
        if (needs_mean(F)) {
            axes.each<float>(x, at, [&](float v) { centre += static_cast<double>(v); });
            centre /= static_cast<double>(axes.count);
        }
        double acc = start_of(F);
        axes.each<float>(x, at, [&](float v) { acc = step<F>(acc, static_cast<double>(v), centre); });
        static_cast<float*>(y.data)[n++] = finish<F>(acc, axes.count, unbiased);
    });
}

template <class T>
void reduce_integers(const orr_tensor& x, const orr_tensor& y, const Axes& axes, Reduction f) {
    using U = std::make_unsigned_t<T>;
    int64_t n = 0;
    for_each_index(axes.kept, axes.kept_shape, [&](const Index& at) {
        T acc = f == Reduction::max ? std::numeric_limits<T>::min() : f == Reduction::min ? std::numeric_limits<T>::max() : f == Reduction::prod;
        axes.each<T>(x, at, [&](T v) {
            switch (f) {
                case Reduction::max: acc = std::max(acc, v); break;
                case Reduction::min: acc = std::min(acc, v); break;
                case Reduction::prod: acc = static_cast<T>(static_cast<U>(acc) * static_cast<U>(v)); break;
                default: acc = static_cast<T>(static_cast<U>(acc) + static_cast<U>(v));
            }
        });
        static_cast<T*>(y.data)[n++] = acc;
    });
}

}  // namespace

orr_status reduce_reference(const orr_run* run) {
    return guard(run->host, [&] {
        const orr_tensor &x = *run->inputs[0], &y = *run->outputs[0];
        const ReduceAttrs a = reduce_attrs(run->attrs, x.rank);
        const Axes axes(x, a.axes);
        if (x.type == ORR_TYPE_I32) return reduce_integers<int32_t>(x, y, axes, a.function);
        if (x.type == ORR_TYPE_I64) return reduce_integers<int64_t>(x, y, axes, a.function);
        with_reduction(a.function, [&]<Reduction F>() { reduce_floats<F>(x, y, axes, a.unbiased); });
    });
}

}  // namespace orrery::core
