// The engine's tensors and instruction sets as the float library takes them, and plain reads for references.
#pragma once

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <string>

#include "float/isa.hpp"
#include "float/vector_kernels.hpp"
#include "float_abi/parallel.hpp"
#include "orrery/plugin.hpp"

namespace orrery::flt {

// Below this many elements a kernel stays on the calling thread.
inline constexpr int64_t kSmallElems = 32 * 1024;

// The widest instruction set compiled here that `isa` (ORR_ISA_*) allows and this machine has.
inline Isa isa_of(uint32_t isa) {
    Isa wanted = Isa::scalar;
    switch (isa) {
        case ORR_ISA_AUTO: return best_isa();
        case ORR_ISA_SSE4: wanted = Isa::sse4; break;
        case ORR_ISA_AVX2:
        case ORR_ISA_AVX_VNNI: wanted = Isa::avx2; break;
        case ORR_ISA_AVX512:
        case ORR_ISA_AVX512_VNNI:
        case ORR_ISA_AVX512_BF16: wanted = Isa::avx512; break;
        default: break;
    }
    if (isa_supported(Isa::neon)) return Isa::neon;
    for (const Isa next : {Isa::avx512, Isa::avx2, Isa::sse4})
        if (next <= wanted && isa_supported(next)) return next;
    return Isa::scalar;
}

// p: orr_prepare or orr_run. Null where the input is absent.
template <class P>
const orr_tensor* input(const P* p, uint32_t i) {
    return i < p->n_inputs ? p->inputs[i] : nullptr;
}

inline bool is_plain(const orr_tensor& t) { return t.layout == nullptr || *t.layout == 0; }
inline bool last_contiguous(const orr_tensor& t) { return t.rank == 0 || t.shape[t.rank - 1] <= 1 || t.stride_bytes[t.rank - 1] == t.block_bytes; }
// Floats (elements of 4 bytes) between neighbours along an axis.
inline int64_t stride(const orr_tensor& t, int32_t axis) { return t.stride_bytes[axis] / 4; }

// For supports(): plain f32 whose last axis is contiguous.
inline bool takes_rows(const orr_tensor* t, const char* name, char* reason, size_t size) {
    if (t == nullptr) return true;
    if (t->type != ORR_TYPE_F32) return refuse(reason, size, std::string(name) + " is " + t->type_id + ", not f32");
    if (!is_plain(*t)) return refuse(reason, size, std::string(name) + " has layout " + t->layout);
    return last_contiguous(*t) || refuse(reason, size, std::string(name) + " has a strided last axis");
}

// Byte offset of row r, rows being all axes but the last `inner`, in row-major order.
inline int64_t row_offset(const orr_tensor& t, int64_t r, int32_t inner = 1) {
    int64_t at = 0;
    for (int32_t axis = t.rank - 1 - inner; axis >= 0; --axis) {
        at += r % t.shape[axis] * t.stride_bytes[axis];
        r /= t.shape[axis];
    }
    return at;
}
inline int64_t row_count(const orr_tensor& t, int32_t inner = 1) {
    int64_t n = 1;
    for (int32_t axis = 0; axis < t.rank - inner; ++axis) n *= t.shape[axis];
    return n;
}
inline float* row(const orr_tensor& t, int64_t r) { return reinterpret_cast<float*>(static_cast<char*>(t.data) + row_offset(t, r)); }

// An output that is an input as it stands: type, shape and layout.
inline void copy_info(const orr_infer* i, uint32_t output, uint32_t input) {
    const orr_header header = i->outputs[output]->header;
    *i->outputs[output] = *i->inputs[input];
    i->outputs[output]->header = header;
}

// body(begin, end, thread) over rows of n elements each.
template <class Body>
void for_rows(const orr_run* run, int64_t rows, int64_t n, const Body& body) {
    if (rows <= 0) return;
    const int64_t most = int64_t{4} * run->threads;
    const int64_t chunks = rows * n <= kSmallElems || run->threads <= 1 ? 1 : std::min(rows, std::min(most, ceil_div(rows * n, kSmallElems / 4)));
    parallel_for(chunks == 1 ? serial() : parallel_of(run), chunks, [&](int64_t c, int thread) {
        const Range range = part_of(rows, chunks, c);
        body(range.begin, range.end, thread);
    });
}

// ---------------------------------------------------------------- plain reads, for references and small weights

inline float half_value(uint16_t bits) {
    const int exponent = bits >> 10 & 0x1f, mantissa = bits & 0x3ff;
    const float sign = bits & 0x8000 ? -1.0f : 1.0f;
    if (exponent == 31) return mantissa ? NAN : sign * INFINITY;
    return sign * (exponent ? std::ldexp(static_cast<float>(mantissa + 1024), exponent - 25) : std::ldexp(static_cast<float>(mantissa), -24));
}
inline float brain_value(uint16_t bits) {
    const uint32_t wide = static_cast<uint32_t>(bits) << 16;
    float value;
    std::memcpy(&value, &wide, 4);
    return value;
}

// A plain scalar of any type that the ports of these operators name.
inline double number_at(uint32_t type, const void* at) {
    const auto read = [at](auto value) {
        std::memcpy(&value, at, sizeof value);
        return value;
    };
    switch (type) {
        case ORR_TYPE_F32: return read(0.0f);
        case ORR_TYPE_F16: return half_value(read(uint16_t{0}));
        case ORR_TYPE_BF16: return brain_value(read(uint16_t{0}));
        case ORR_TYPE_F64: return read(0.0);
        case ORR_TYPE_I32: return read(int32_t{0});
        case ORR_TYPE_I64: return static_cast<double>(read(int64_t{0}));
        case ORR_TYPE_I8: return read(int8_t{0});
        case ORR_TYPE_U8:
        case ORR_TYPE_BOOL: return read(uint8_t{0});
        default: throw Error(ORR_UNSUPPORTED, "no plain read for type number " + std::to_string(type));
    }
}

using Index = std::array<int64_t, ORR_MAX_RANK>;
inline double number(const orr_tensor& t, const Index& at) {
    int64_t bytes = 0;
    for (int32_t axis = 0; axis < t.rank; ++axis) bytes += at[static_cast<size_t>(axis)] * t.stride_bytes[axis];
    return number_at(t.type, static_cast<const char*>(t.data) + bytes);
}
// Element i of a vector.
inline double number(const orr_tensor& t, int64_t i) { return number_at(t.type, static_cast<const char*>(t.data) + i * t.stride_bytes[t.rank - 1]); }

// A vector as f32: where it lies, or converted into `buffer`.
inline const float* floats(const orr_tensor* t, float* buffer) {
    if (t == nullptr) return nullptr;
    if (t->type == ORR_TYPE_F32 && last_contiguous(*t)) return static_cast<const float*>(t->data);
    for (int64_t i = 0; i < t->shape[t->rank - 1]; ++i) buffer[i] = static_cast<float>(number(*t, i));
    return buffer;
}
// Bytes of that buffer, a multiple of 64; 0 where none is needed.
inline uint64_t floats_bytes(const orr_tensor* t) {
    if (t == nullptr || (t->type == ORR_TYPE_F32 && last_contiguous(*t))) return 0;
    return static_cast<uint64_t>(round_up(t->shape[t->rank - 1] * 4, 64));
}

// What most kernels here keep between prepare and run.
struct IsaPlan {
    Isa isa;
};
// Takes plan memory for a trivially copyable T that starts with `Isa isa`, fills that in and names the variant; null when refused.
template <class T = IsaPlan>
T* make_plan(orr_prepare* p) {
    T* plan = static_cast<T*>(p->plan_memory(p, sizeof(T)));
    if (plan == nullptr) return nullptr;
    plan->isa = isa_of(p->isa);
    p->variant(p, isa_name(plan->isa));
    return plan;
}

inline Activation activation_of(const std::string& name, const char* op) {
    constexpr std::pair<const char*, Activation> kNames[] = {{"none", Activation::none},           {"gelu", Activation::gelu_erf}, {"gelu_tanh", Activation::gelu_tanh},
                                                             {"quick_gelu", Activation::quick_gelu}, {"silu", Activation::silu},     {"relu", Activation::relu},
                                                             {"tanh", Activation::tanh},           {"sigmoid", Activation::sigmoid}};
    for (const auto& [known, value] : kNames)
        if (name == known) return value;
    throw Error(ORR_INVALID_ARGUMENT, std::string(op) + ": activation is \"" + name + "\", known are none, gelu, gelu_tanh, quick_gelu, silu, relu, tanh, sigmoid");
}
inline constexpr const char* kActivationWords = "none|gelu|gelu_tanh|quick_gelu|silu|relu|tanh|sigmoid";

// The definition of each, for references.
inline double activate(Activation a, double x) {
    switch (a) {
        case Activation::none: return x;
        case Activation::gelu_erf: return 0.5 * x * std::erfc(-x * 0.70710678118654752440);
        case Activation::gelu_tanh: return 0.5 * x * (1.0 + std::tanh(0.79788456080286535588 * (x + 0.044715 * x * x * x)));
        case Activation::quick_gelu: return x / (1.0 + std::exp(-1.702 * x));
        case Activation::silu: return x / (1.0 + std::exp(-x));
        case Activation::relu: return x < 0.0 ? 0.0 : x;
        case Activation::tanh: return std::tanh(x);
        case Activation::sigmoid: return 1.0 / (1.0 + std::exp(-x));
    }
    return x;
}

}  // namespace orrery::flt
