#include "float/targets.hpp"
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "float/scan_kernels.cpp"
#include "hwy/foreach_target.h"
#include "hwy/highway.h"
//
#include <algorithm>

#include "float/math-inl.hpp"
#include "float/scan_kernels.hpp"
#include "hwy/contrib/math/math-inl.h"

HWY_BEFORE_NAMESPACE();
namespace orrery::flt {
namespace HWY_NAMESPACE {
namespace {

constexpr int64_t kChannels = 16;
constexpr int kVecs = static_cast<int>(kChannels) / kLanes;

// Vector v of sixteen channels of which `count` exist.
HWY_INLINE Vec load_part(const float* p, int v, int64_t count) {
    const int64_t left = count - v * kLanes;
    if (left >= kLanes) return hn::LoadU(Tag(), p + v * kLanes);
    return left <= 0 ? hn::Zero(Tag()) : load_tail(p + v * kLanes, left);
}
HWY_INLINE void store_part(Vec x, float* p, int v, int64_t count) {
    const int64_t left = count - v * kLanes;
    if (left >= kLanes) hn::StoreU(x, Tag(), p + v * kLanes);
    else if (left > 0) store_tail(x, p + v * kLanes, left);
}

// dst[i][0..16) = src[channel][i]
void to_lanes(const float* src, int64_t row, int64_t count, int64_t n, float* dst) {
    for (int64_t i = 0; i < n; ++i)
        for (int64_t c = 0; c < kChannels; ++c) dst[i * kChannels + c] = c < count ? src[c * row + i] : 0.0f;
}
void from_lanes(const float* src, int64_t row, int64_t count, int64_t n, float* dst) {
    for (int64_t c = 0; c < count; ++c)
        for (int64_t i = 0; i < n; ++i) dst[c * row + i] = src[i * kChannels + c];
}

// scratch: weights [K][16], then a ring-free history [K - 1][16]
void causal_conv(const CausalConvArgs& a, int64_t c0, int64_t count, float* scratch) {
    const int64_t past = a.kernel - 1;
    float *w = scratch, *history = scratch + a.kernel * kChannels;
    to_lanes(a.w + c0 * a.kernel, a.kernel, count, a.kernel, w);
    to_lanes(a.state + c0 * past, past, count, past, history);
    for (int v = 0; v < kVecs; ++v) {
        const Vec bias = a.bias == nullptr ? hn::Zero(Tag()) : load_part(a.bias + c0, v, count);
        for (int64_t t = 0; t < a.tokens; ++t) {
            Vec sum = bias;
            for (int64_t j = 0; j < a.kernel; ++j) {
                const int64_t at = t - past + j;
                const Vec x = at < 0 ? hn::LoadU(Tag(), history + (past + at) * kChannels + v * kLanes) : load_part(a.x + at * a.x_token + c0, v, count);
                sum = hn::MulAdd(hn::LoadU(Tag(), w + j * kChannels + v * kLanes), x, sum);
            }
            store_part(a.silu ? silu_f32(sum) : sum, a.y + t * a.y_token + c0, v, count);
        }
    }
    // The last K - 1 inputs, some of which may still be from before.
    for (int64_t i = 0; i < past; ++i) {
        const int64_t at = a.tokens - past + i;
        for (int64_t c = 0; c < count; ++c)
            a.new_state[(c0 + c) * past + i] = at < 0 ? history[(past + at) * kChannels + c] : a.x[at * a.x_token + c0 + c];
    }
}

// log1p(e^x); x itself above 20, as torch.nn.functional.softplus has it.
HWY_INLINE Vec softplus(Vec x) {
    const Vec soft = hn::Add(hn::Max(x, hn::Zero(Tag())), hn::Log1p(Tag(), exp_negative(hn::Neg(hn::Abs(x)))));
    return hn::IfThenElse(hn::Gt(x, splat(20.0f)), x, soft);
}

// scratch: A [N][16], then h [N][16]
void scan(const ScanArgs& s, int64_t c0, int64_t count, float* scratch) {
    float *a = scratch, *h = scratch + s.states * kChannels;
    to_lanes(s.a + c0 * s.states, s.states, count, s.states, a);
    to_lanes(s.state + c0 * s.states, s.states, count, s.states, h);
    for (int64_t t = 0; t < s.tokens; ++t) {
        const float *b = s.b + t * s.b_token, *c = s.c + t * s.c_token;
        for (int v = 0; v < kVecs; ++v) {
            const Vec u = load_part(s.u + t * s.u_token + c0, v, count);
            Vec d = load_part(s.delta + t * s.delta_token + c0, v, count);
            if (s.delta_bias != nullptr) d = hn::Add(d, load_part(s.delta_bias + c0, v, count));
            if (s.softplus) d = softplus(d);
            Vec y = hn::Zero(Tag());
            for (int64_t n = 0; n < s.states; ++n) {
                float* at = h + n * kChannels + v * kLanes;
                const Vec decay = exp_f32(hn::Mul(d, hn::LoadU(Tag(), a + n * kChannels + v * kLanes)));
                const Vec next = hn::MulAdd(hn::LoadU(Tag(), at), decay, hn::Mul(hn::Mul(d, splat(b[n])), u));
                hn::StoreU(next, Tag(), at);
                y = hn::MulAdd(next, splat(c[n]), y);
            }
            if (s.d != nullptr) y = hn::MulAdd(u, load_part(s.d + c0, v, count), y);
            if (s.z != nullptr) y = hn::Mul(y, silu_f32(load_part(s.z + t * s.z_token + c0, v, count)));
            store_part(y, s.y + t * s.y_token + c0, v, count);
        }
    }
    from_lanes(h, s.states, count, s.states, s.new_state + c0 * s.states);
}

}  // namespace

static const ScanKernels* table() {
    static constexpr ScanKernels kTable = {ORR_TARGET_ISA, causal_conv, scan};
    return &kTable;
}

}  // namespace HWY_NAMESPACE
}  // namespace orrery::flt
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace orrery::flt {
namespace {
const ScanKernels* pick(Isa isa) { ORR_PICK_TABLE(isa); }
}  // namespace
const ScanKernels& scan_kernels(Isa isa) { return *pick(isa); }
}  // namespace orrery::flt
#endif
