// y[i] = x[i] as another plain type; torch.Tensor.to.
#include <cmath>
#include <limits>
#include <type_traits>

#include "common/number.hpp"
#include "common/shapes.hpp"
#include "ops/cast/cast.hpp"

using namespace orrery;
using namespace orrery::core;

namespace {

constexpr const char* kSources = "f32 f16 bf16 f64 i8 u8 i16 u16 i32 u32 i64 bool";
constexpr const char* kTargets = "f32 f16 bf16 i32 i64 bool";

uint32_t target_of(const orr_attrs* attrs) {
    constexpr uint32_t types[] = {ORR_TYPE_F32, ORR_TYPE_I32, ORR_TYPE_I64, ORR_TYPE_BOOL, ORR_TYPE_F16, ORR_TYPE_BF16};
    return types[choose("cast", "type", attrs->get_string(attrs, "type"), {"f32", "i32", "i64", "bool", "f16", "bf16"})];
}

orr_status infer(const orr_infer* raw) {
    return guard(raw->host, [&] {
        const Infer i(raw);
        i.out(0, target_of(raw->attrs), Infer::dims(i.in(0)));
    });
}

struct Bool {
    uint8_t value;
};

// What an element stands for: float, double or int64_t.
inline float read(float v) { return v; }
inline double read(double v) { return v; }
inline float read(f16 v) { return to_f32(v); }
inline float read(bf16 v) { return to_f32(v); }
inline int64_t read(Bool v) { return v.value != 0; }
template <class T>
    requires std::is_integral_v<T>
inline int64_t read(T v) {
    return v;
}

// Towards zero; what does not fit saturates, NaN is 0.
template <class T, class V>
inline T to_integer(V v) {
    if constexpr (std::is_integral_v<V>) {
        return static_cast<T>(v);
    } else {
        constexpr V kEnd = static_cast<V>(1ull << (sizeof(T) * 8 - 1));
        if (!(v >= -kEnd)) return v != v ? T{0} : std::numeric_limits<T>::min();
        return v >= kEnd ? std::numeric_limits<T>::max() : static_cast<T>(v);
    }
}

template <class T, class V>
inline T convert(V v) {
    if constexpr (std::is_same_v<T, float>) return static_cast<float>(v);
    if constexpr (std::is_same_v<T, f16>) return to_f16(static_cast<float>(v));
    if constexpr (std::is_same_v<T, bf16>) return to_bf16(static_cast<float>(v));
    if constexpr (std::is_same_v<T, Bool>) return Bool{static_cast<uint8_t>(v != 0)};
    if constexpr (std::is_integral_v<T>) return to_integer<T>(v);
}

template <class S, class T>
void convert_row(const char* src, int64_t step, char* dst, int64_t n) {
    T* y = reinterpret_cast<T*>(dst);
    if (step == sizeof(S)) {
        const S* x = reinterpret_cast<const S*>(src);
        for (int64_t k = 0; k < n; k++) y[k] = convert<T>(read(x[k]));
    } else {
        for (int64_t k = 0; k < n; k++) y[k] = convert<T>(read(*reinterpret_cast<const S*>(src + k * step)));
    }
}

using RowFn = void (*)(const char*, int64_t, char*, int64_t);

template <class S>
RowFn row_to(uint32_t target) {
    switch (target) {
        case ORR_TYPE_F32: return convert_row<S, float>;
        case ORR_TYPE_F16: return convert_row<S, f16>;
        case ORR_TYPE_BF16: return convert_row<S, bf16>;
        case ORR_TYPE_I32: return convert_row<S, int32_t>;
        case ORR_TYPE_I64: return convert_row<S, int64_t>;
        default: return convert_row<S, Bool>;
    }
}

RowFn row_of(uint32_t source, uint32_t target) {
    switch (source) {
        case ORR_TYPE_F32: return row_to<float>(target);
        case ORR_TYPE_F16: return row_to<f16>(target);
        case ORR_TYPE_BF16: return row_to<bf16>(target);
        case ORR_TYPE_F64: return row_to<double>(target);
        case ORR_TYPE_I8: return row_to<int8_t>(target);
        case ORR_TYPE_U8: return row_to<uint8_t>(target);
        case ORR_TYPE_I16: return row_to<int16_t>(target);
        case ORR_TYPE_U16: return row_to<uint16_t>(target);
        case ORR_TYPE_I32: return row_to<int32_t>(target);
        case ORR_TYPE_U32: return row_to<uint32_t>(target);
        case ORR_TYPE_I64: return row_to<int64_t>(target);
        case ORR_TYPE_BOOL: return row_to<Bool>(target);
        default: throw Error(ORR_UNSUPPORTED, std::string("cast: x is ") + type_name(source) + "; it takes " + kSources);
    }
}

orr_status run_reference(const orr_run* run) {
    return guard(run->host, [&] {
        const orr_tensor &x = *run->inputs[0], &y = *run->outputs[0];
        const RowFn one = row_of(x.type, y.type);
        for_each_index(y.rank, shape_of(y), [&](const Index& at) {
            one(static_cast<const char*>(x.data) + offset_of(at, x.rank, strides_of(x)), 0,
                static_cast<char*>(y.data) + offset_of(at, y.rank, strides_of(y)), 1);
        });
    });
}

orr_status run_cpu(const orr_run* run) {
    return guard(run->host, [&] {
        const orr_tensor &x = *run->inputs[0], &y = *run->outputs[0];
        const RowFn row = row_of(x.type, y.type);
        const auto loop = make_loop<2>(y.rank, shape_of(y), {strides_of(y), strides_of(x)});
        for_pieces(run, loop, [&](const std::array<int64_t, 2>& at, int64_t n) {
            row(static_cast<const char*>(x.data) + at[1], loop.step[1], static_cast<char*>(y.data) + at[0], n);
        });
    });
}

}  // namespace

const orr_operator* orr_op_cast() {
    static const Operator op = Operator("orr.cast/1", "x as another plain type; torch.Tensor.to")
                                   .input("x", kSources, "any shape")
                                   .output("y", "the shape of x", kTargets)
                                   .attr("type", ORR_ATTR_STRING, nullptr, "of the result", "f32|i32|i64|bool|f16|bf16")
                                   .infer(infer)
                                   .kernel(kCastVulkan)
                                   .kernel({"cpu", "cpu", 0, nullptr, nullptr, run_cpu})
                                   .kernel({"reference", "cpu", ORR_KERNEL_REFERENCE, nullptr, nullptr, run_reference});
    return op.table();
}
