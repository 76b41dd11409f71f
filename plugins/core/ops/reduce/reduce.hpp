// What the parts of orr.reduce/1 share: the attributes as numbers, and the step of each function in f64.
#pragma once

#include <cmath>
#include <limits>

#include "common/walk.hpp"

namespace orrery::core {

enum class Reduction { mean, sum, max, min, var, std, prod, l2 };

struct ReduceAttrs {
    Reduction function;
    uint32_t axes = 0;  // bit k: axis k is reduced
    bool keepdims = false;
    bool unbiased = false;
};
// Throws for attributes that contradict the rank.
ReduceAttrs reduce_attrs(const orr_attrs* attrs, int32_t rank);

constexpr double start_of(Reduction f) {
    if (f == Reduction::max) return -std::numeric_limits<double>::infinity();
    if (f == Reduction::min) return std::numeric_limits<double>::infinity();
    return f == Reduction::prod ? 1.0 : 0.0;
}
// centre: the mean, for var and std.
template <Reduction F>
inline double step(double acc, double v, double centre) {
    if constexpr (F == Reduction::max) return v > acc || v != v ? v : acc;
    if constexpr (F == Reduction::min) return v < acc || v != v ? v : acc;
    if constexpr (F == Reduction::prod) return acc * v;
    if constexpr (F == Reduction::l2) return acc + v * v;
    if constexpr (F == Reduction::var || F == Reduction::std) return acc + (v - centre) * (v - centre);
    return acc + v;
}
// Two accumulators into one.
template <Reduction F>
inline double join(double a, double b) {
    constexpr bool kPlain = F == Reduction::max || F == Reduction::min || F == Reduction::prod;
    return kPlain ? step<F>(a, b, 0) : a + b;
}
template <Reduction F>
inline float finish(double acc, int64_t n, bool unbiased) {
    if constexpr (F == Reduction::mean) return static_cast<float>(acc / static_cast<double>(n));
    if constexpr (F == Reduction::l2) return static_cast<float>(std::sqrt(acc));
    if constexpr (F == Reduction::var || F == Reduction::std) {
        const double v = acc / static_cast<double>(unbiased ? n - 1 : n);
        return static_cast<float>(F == Reduction::std ? std::sqrt(v) : v);
    }
    return static_cast<float>(acc);
}
constexpr bool needs_mean(Reduction f) { return f == Reduction::var || f == Reduction::std; }

// Calls body.template operator()<F>() for the function named at run time.
template <class Body>
void with_reduction(Reduction f, Body&& body) {
    switch (f) {
        case Reduction::mean: return body.template operator()<Reduction::mean>();
        case Reduction::sum: return body.template operator()<Reduction::sum>();
        case Reduction::max: return body.template operator()<Reduction::max>();
        case Reduction::min: return body.template operator()<Reduction::min>();
        case Reduction::var: return body.template operator()<Reduction::var>();
        case Reduction::std: return body.template operator()<Reduction::std>();
        case Reduction::prod: return body.template operator()<Reduction::prod>();
        case Reduction::l2: return body.template operator()<Reduction::l2>();
    }
}

orr_status reduce_reference(const orr_run* run);
bool reduce_cpu_supports(const orr_prepare* p, char* reason, size_t size);
orr_status reduce_cpu(const orr_run* run);
extern const KernelDef kReduceVulkan;

}  // namespace orrery::core
