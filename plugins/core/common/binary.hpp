// add, sub, mul, div, maximum, minimum: one shape function and one pair of kernels, instantiated by each operator's folder.
// y[i] = f(a[i], b[i]) after NumPy's broadcasting. f32: one IEEE operation. i32, i64: two's complement, wrapping.
#pragma once

#include <cmath>
#include <type_traits>

#include "common/shapes.hpp"
#include "common/walk.hpp"

namespace orrery::core {

enum class Binary { add, sub, mul, div, maximum, minimum };

template <Binary Op, class T>
inline T apply(T a, T b) {
    if constexpr (Op == Binary::maximum || Op == Binary::minimum) {
        // A NaN on either side is the result, as in torch.maximum.
        if constexpr (std::is_floating_point_v<T>) {
            if constexpr (Op == Binary::maximum) return (a > b || a != a) ? a : b;
            return (a < b || a != a) ? a : b;
        } else {
            return Op == Binary::maximum ? std::max(a, b) : std::min(a, b);
        }
    } else if constexpr (std::is_integral_v<T>) {
        using U = std::make_unsigned_t<T>;
        const U x = static_cast<U>(a), y = static_cast<U>(b);
        if constexpr (Op == Binary::add) return static_cast<T>(x + y);
        if constexpr (Op == Binary::sub) return static_cast<T>(x - y);
        return static_cast<T>(x * y);
    } else {
        if constexpr (Op == Binary::add) return a + b;
        if constexpr (Op == Binary::sub) return a - b;
        if constexpr (Op == Binary::mul) return a * b;
        return a / b;
    }
}

constexpr const char* binary_name(Binary op) {
    constexpr const char* names[] = {"add", "sub", "mul", "div", "maximum", "minimum"};
    return names[static_cast<int>(op)];
}

template <Binary Op>
void infer_binary(const Infer& i) {
    same_type(i.in(0), i.in(1), binary_name(Op), "a", "b");
    i.out(0, i.in(0).type, broadcast(i, {Infer::dims(i.in(0)), Infer::dims(i.in(1))}, binary_name(Op)));
}

template <Binary Op, class T>
void reference_binary_of(const orr_run* run) {
    const orr_tensor &a = *run->inputs[0], &b = *run->inputs[1], &y = *run->outputs[0];
    const Index sa = broadcast_strides(a, y.rank), sb = broadcast_strides(b, y.rank), sy = strides_of(y);
    for_each_index(y.rank, shape_of(y), [&](const Index& at) {
        element<T>(y, offset_of(at, y.rank, sy)) =
            apply<Op, T>(element<T>(a, offset_of(at, y.rank, sa)), element<T>(b, offset_of(at, y.rank, sb)));
    });
}

template <Binary Op>
orr_status reference_binary(const orr_run* run) {
    return guard(run->host, [&] {
        const uint32_t type = run->outputs[0]->type;
        if (type == ORR_TYPE_F32) return reference_binary_of<Op, float>(run);
        if constexpr (Op != Binary::div) {
            if (type == ORR_TYPE_I32) return reference_binary_of<Op, int32_t>(run);
            if (type == ORR_TYPE_I64) return reference_binary_of<Op, int64_t>(run);
        }
        throw Error(ORR_UNSUPPORTED, std::string(binary_name(Op)) + ": no kernel for " + type_name(type));
    });
}

// steps: 0 for one value used throughout, 1 for a row.
template <Binary Op>
void binary_row(const float* a, int64_t step_a, const float* b, int64_t step_b, float* y, int64_t n) {
    if (step_a == 1 && step_b == 1) {
        for (int64_t k = 0; k < n; k++) y[k] = apply<Op>(a[k], b[k]);
    } else if (step_a == 1 && step_b == 0) {
        const float right = *b;
        for (int64_t k = 0; k < n; k++) y[k] = apply<Op>(a[k], right);
    } else if (step_a == 0 && step_b == 1) {
        const float left = *a;
        for (int64_t k = 0; k < n; k++) y[k] = apply<Op>(left, b[k]);
    } else {
        for (int64_t k = 0; k < n; k++) y[k] = apply<Op>(a[k * step_a], b[k * step_b]);
    }
}

inline bool supports_f32(const orr_prepare* p, char* reason, size_t size) {
    if (p->inputs[0]->type == ORR_TYPE_F32) return true;
    return refuse(reason, size, std::string("takes f32, not ") + type_name(p->inputs[0]->type));
}

template <Binary Op>
orr_status cpu_binary(const orr_run* run) {
    return guard(run->host, [&] {
        const orr_tensor &a = *run->inputs[0], &b = *run->inputs[1], &y = *run->outputs[0];
        const auto loop = make_loop<3>(y.rank, shape_of(y), {strides_of(y), broadcast_strides(a, y.rank), broadcast_strides(b, y.rank)});
        constexpr int64_t size = sizeof(float);
        for_pieces(run, loop, [&](const std::array<int64_t, 3>& at, int64_t n) {
            binary_row<Op>(&element<float>(a, at[1]), loop.step[1] / size, &element<float>(b, at[2]), loop.step[2] / size,
                           &element<float>(y, at[0]), n);
        });
    });
}

template <Binary Op>
void elementwise_binary(const orr_attrs*, const float* const* src, float* dst, int64_t n) {
    binary_row<Op>(src[0], 1, src[1], 1, dst, n);
}

template <Binary Op>
Operator binary_operator(const char* id, const char* summary, const KernelDef& vulkan) {
    const char* types = Op == Binary::div ? "f32" : kNumberTypes;
    return Operator(id, summary)
        .input("a", types, "any shape")
        .input("b", types, "the same type, broadcast against a (axes aligned at the right, extent 1 repeats)")
        .output("y", "the broadcast shape", types)
        .traits(ORR_TRAIT_ELEMENTWISE)
        .infer(infer_guard<infer_binary<Op>>)
        .elementwise(elementwise_binary<Op>)
        .kernel(vulkan)
        .kernel({"cpu", "cpu", 0, supports_f32, nullptr, cpu_binary<Op>})
        .kernel({"reference", "cpu", ORR_KERNEL_REFERENCE, nullptr, nullptr, reference_binary<Op>});
}

}  // namespace orrery::core
