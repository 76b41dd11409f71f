#include "float/targets.hpp"
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "float/attention_kernels.cpp"
#include "hwy/foreach_target.h"
#include "hwy/highway.h"
//
#include <cmath>
#include <cstring>
#include <initializer_list>
#include <limits>

#include "float/attention_kernels.hpp"
#include "float/math-inl.hpp"

HWY_BEFORE_NAMESPACE();
namespace orrery::flt {
namespace HWY_NAMESPACE {
namespace {

constexpr float kInf = std::numeric_limits<float>::infinity();

// e^x for one x <= 0, the same bits as the vector form.
HWY_INLINE float exp_one(float x) { return hn::GetLane(exp_negative(splat(x))); }

// Cap, bias, penalty and the edges of what is visible, in place; returns the largest score.
template <bool kAdjusts>
HWY_INLINE float adjust(const SoftmaxRow& row) {
    const Vec hidden = splat(-kInf), cap = splat(row.softcap), inverse = splat(row.softcap == 0.0f ? 0.0f : 1.0f / row.softcap);
    Vec top = hidden;
    for (int64_t j = 0; j < row.width; j += kLanes) {
        Vec v = hn::LoadU(Tag(), row.scores + j);
        const int64_t right = row.hi - j, left = row.lo - j;  // lanes before `right` count, lanes before `left` do not
        if constexpr (kAdjusts) {
            if (row.softcap != 0.0f) v = hn::Mul(cap, tanh_f32(hn::Mul(v, inverse)));
            for (const float* more : {row.bias, row.penalty})
                if (more != nullptr && right > 0) v = hn::Add(v, right >= kLanes ? hn::LoadU(Tag(), more + j) : load_tail(more + j, right));
        }
        if (right < kLanes) v = right <= 0 ? hidden : hn::IfThenElse(hn::FirstN(Tag(), static_cast<size_t>(right)), v, hidden);
        if (left > 0) v = left >= kLanes ? hidden : hn::IfThenElse(hn::FirstN(Tag(), static_cast<size_t>(left)), hidden, v);
        if (kAdjusts || right < kLanes || left > 0) hn::StoreU(v, Tag(), row.scores + j);
        top = hn::Max(top, v);
    }
    return max_lanes(top);
}

bool holds_nan(const SoftmaxRow& row) {
    for (int64_t j = row.lo; j < row.hi; ++j)
        if (row.scores[j] != row.scores[j]) return true;
    return false;
}

void softmax_row(const SoftmaxRow& row) {
    const bool adjusts = row.softcap != 0.0f || row.bias != nullptr || row.penalty != nullptr;
    const float before = *row.m, top = adjusts ? adjust<true>(row) : adjust<false>(row);
    float m = top > before ? top : before;
    if (m == -kInf && holds_nan(row)) m = 0.0f;  // the maximum passes over NaN; the result must not
    if (m == -kInf) {                            // nothing visible so far
        std::memset(row.scores, 0, static_cast<size_t>(row.width) * sizeof(float));
        return;
    }
    const Vec shift = splat(m);
    Vec total = hn::Zero(Tag());
    for (int64_t j = 0; j < row.width; j += kLanes) {
        const Vec p = exp_negative(hn::Sub(hn::LoadU(Tag(), row.scores + j), shift));
        hn::StoreU(p, Tag(), row.scores + j);
        total = hn::Add(total, p);
    }
    if (m != before) {
        const float factor = exp_one(before - m);
        const Vec f = splat(factor);
        *row.l *= factor;
        int64_t i = 0;
        for (; i + kLanes <= row.value_width; i += kLanes) hn::StoreU(hn::Mul(hn::LoadU(Tag(), row.acc + i), f), Tag(), row.acc + i);
        for (; i < row.value_width; ++i) row.acc[i] *= factor;
        *row.m = m;
    }
    *row.l += sum_lanes(total);
}

void merge(float* m, float* l, float* acc, float m2, float l2, const float* acc2, int64_t n) {
    const float top = m2 > *m ? m2 : *m;
    if (m2 == -kInf || top == -kInf) return;
    const float f1 = exp_one(*m - top), f2 = exp_one(m2 - top);
    *l = *l * f1 + l2 * f2;
    *m = top;
    const Vec v1 = splat(f1), v2 = splat(f2);
    int64_t i = 0;
    for (; i + kLanes <= n; i += kLanes)
        hn::StoreU(hn::Add(hn::Mul(hn::LoadU(Tag(), acc + i), v1), hn::Mul(hn::LoadU(Tag(), acc2 + i), v2)), Tag(), acc + i);
    for (; i < n; ++i) acc[i] = acc[i] * f1 + acc2[i] * f2;
}

void scale(const float* x, float factor, float* y, int64_t n) {
    const Vec f = splat(factor);
    int64_t i = 0;
    for (; i + kLanes <= n; i += kLanes) hn::StoreU(hn::Mul(hn::LoadU(Tag(), x + i), f), Tag(), y + i);
    for (; i < n; ++i) y[i] = x[i] * factor;
}


HWY_INLINE float half_to_float(uint16_t bits) {
    const uint32_t sign = static_cast<uint32_t>(bits & 0x8000u) << 16, exponent = bits >> 10 & 0x1fu, mantissa = bits & 0x3ffu;
    uint32_t f = sign;
    if (exponent == 31) {
        f |= 0x7f800000u | mantissa << 13;
    } else if (exponent != 0) {
        f |= (exponent + 112) << 23 | mantissa << 13;
    } else {
        const float small = static_cast<float>(mantissa) * 5.9604644775390625e-8f;  // 2^-24
        uint32_t magnitude;
        std::memcpy(&magnitude, &small, 4);
        f |= magnitude;
    }
    float value;
    std::memcpy(&value, &f, 4);
    return value;
}

// Round to nearest, ties to even, as the hardware does; Highway's scalar form truncates.
HWY_INLINE uint16_t float_to_half(float value) {
    uint32_t bits;
    std::memcpy(&bits, &value, 4);
    const uint32_t sign = bits >> 16 & 0x8000u, magnitude = bits & 0x7fffffffu;
    if (magnitude > 0x7f800000u) return static_cast<uint16_t>(sign | 0x7e00u);
    if (magnitude >= 0x477ff000u) return static_cast<uint16_t>(sign | 0x7c00u);
    if (magnitude < 0x38800000u) {  // below 2^-14: let an addition place the ulp at 2^-24
        float scaled;
        std::memcpy(&scaled, &magnitude, 4);
        scaled += 0.5f;
        uint32_t rounded;
        std::memcpy(&rounded, &scaled, 4);
        return static_cast<uint16_t>(sign | (rounded - 0x3f000000u));
    }
    const uint32_t odd = magnitude >> 13 & 1u;
    return static_cast<uint16_t>(sign | ((magnitude + 0xfffu + odd - 0x38000000u) >> 13));
}

HWY_INLINE uint16_t float_to_brain(float value) {
    uint32_t bits;
    std::memcpy(&bits, &value, 4);
    if ((bits & 0x7fffffffu) > 0x7f800000u) return static_cast<uint16_t>(bits >> 16 | 0x40u);
    return static_cast<uint16_t>((bits + 0x7fffu + (bits >> 16 & 1u)) >> 16);
}

HWY_INLINE void load_half(const uint16_t* src, float* dst, int64_t n) {
    int64_t i = 0;
#if HWY_TARGET == HWY_AVX2 || HWY_TARGET == HWY_AVX3 || HWY_TARGET == HWY_NEON  // elsewhere Highway's form knows no inf
    const hn::Rebind<hwy::float16_t, Tag> d16;
    for (; i + kLanes <= n; i += kLanes) hn::StoreU(hn::PromoteTo(Tag(), hn::LoadU(d16, reinterpret_cast<const hwy::float16_t*>(src) + i)), Tag(), dst + i);
#endif
    for (; i < n; ++i) dst[i] = half_to_float(src[i]);
}

HWY_INLINE void load_brain(const uint16_t* src, float* dst, int64_t n) {
    for (int64_t i = 0; i < n; ++i) {
        const uint32_t bits = static_cast<uint32_t>(src[i]) << 16;
        std::memcpy(dst + i, &bits, 4);
    }
}

constexpr int64_t kBlock = 32, kBlockBytes = 34;

HWY_INLINE void load_q8(const uint8_t* src, float* dst, int64_t n) {
    for (int64_t i = 0; i < n; i += kBlock, src += kBlockBytes, dst += kBlock) {
        uint16_t bits;
        std::memcpy(&bits, src, 2);
        const float d = half_to_float(bits);
        const int8_t* q = reinterpret_cast<const int8_t*>(src + 2);
        for (int64_t j = 0; j < kBlock; ++j) dst[j] = d * static_cast<float>(q[j]);
    }
}

// d = max|x| / 127 in f16, q = round(x / d) with the unrounded d, halves away from zero: as the GGUF type is defined.
HWY_INLINE void store_q8(const float* src, uint8_t* dst, int64_t n) {
    for (int64_t i = 0; i < n; i += kBlock, src += kBlock, dst += kBlockBytes) {
        float top = 0.0f;
        for (int64_t j = 0; j < kBlock; ++j) top = std::fmax(top, std::fabs(src[j]));
        const float d = top / 127.0f, inverse = d == 0.0f ? 0.0f : 1.0f / d;
        const uint16_t bits = float_to_half(d);
        std::memcpy(dst, &bits, 2);
        for (int64_t j = 0; j < kBlock; ++j) {
            const float q = std::round(src[j] * inverse);
            dst[2 + j] = static_cast<uint8_t>(static_cast<int8_t>(q > 127.0f ? 127.0f : q < -127.0f ? -127.0f : q == q ? q : 0.0f));
        }
    }
}

void load(KvType type, const void* src, float* dst, int64_t n) {
    switch (type) {
        case KvType::f32: std::memcpy(dst, src, static_cast<size_t>(n) * sizeof(float)); return;
        case KvType::f16: return load_half(static_cast<const uint16_t*>(src), dst, n);
        case KvType::bf16: return load_brain(static_cast<const uint16_t*>(src), dst, n);
        case KvType::q8_0: return load_q8(static_cast<const uint8_t*>(src), dst, n);
    }
}

void store(KvType type, const float* src, void* dst, int64_t n) {
    switch (type) {
        case KvType::f32: std::memcpy(dst, src, static_cast<size_t>(n) * sizeof(float)); return;
        case KvType::f16:
            for (int64_t i = 0; i < n; ++i) static_cast<uint16_t*>(dst)[i] = float_to_half(src[i]);
            return;
        case KvType::bf16:
            for (int64_t i = 0; i < n; ++i) static_cast<uint16_t*>(dst)[i] = float_to_brain(src[i]);
            return;
        case KvType::q8_0: return store_q8(src, static_cast<uint8_t*>(dst), n);
    }
}

}  // namespace

static const AttentionKernels* table() {
    static constexpr AttentionKernels kTable = {ORR_TARGET_ISA, softmax_row, merge, scale, load, store};
    return &kTable;
}

}  // namespace HWY_NAMESPACE
}  // namespace orrery::flt
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace orrery::flt {
namespace {
const AttentionKernels* pick(Isa isa) { ORR_PICK_TABLE(isa); }
}  // namespace
const AttentionKernels& attention_kernels(Isa isa) { return *pick(isa); }

size_t kv_row_bytes(KvType type, int64_t elems) {
    switch (type) {
        case KvType::f32: return static_cast<size_t>(elems) * 4;
        case KvType::f16:
        case KvType::bf16: return static_cast<size_t>(elems) * 2;
        case KvType::q8_0: return static_cast<size_t>(elems) / 32 * 34;
    }
    return 0;
}
}  // namespace orrery::flt
#endif
