// What operators over the rows of one tensor share: y = f(x) along the last axis, with up to two weight vectors.
#pragma once

#include <string>

#include "float_abi/float_abi.hpp"

namespace orrery::core {

// Shape function: y has x's shape; weights that are there have E elements.
inline void infer_rows(const Infer& i, const char* op) {
    const orr_value_info& x = i.in(0);
    if (x.rank < 1) throw Error(ORR_INVALID_ARGUMENT, std::string(op) + ": x has rank 0, wanted 1 or more");
    for (uint32_t n = 1; n <= 2; ++n) {
        if (!i.has(n)) continue;
        i.rank(n, 1, (std::string(op) + ": " + (n == 1 ? "w" : "b")).c_str());
        i.same(i.in(n).dims[0], x.dims[x.rank - 1], std::string(op) + ": elements of " + (n == 1 ? "w" : "b") + " against rows of x");
    }
    i.out(0, ORR_TYPE_F32, Infer::dims(x));
}

inline bool supports_rows(const orr_prepare* p, char* reason, size_t size) {
    return flt::takes_rows(p->inputs[0], "x", reason, size) && flt::takes_rows(p->outputs[0], "y", reason, size);
}

// Workspace: weights that are not f32, converted.
inline orr_status prepare_rows(orr_prepare* p) {
    return guard(p->host, [&]() -> orr_status {
        if (flt::make_plan(p) == nullptr) return ORR_OUT_OF_MEMORY;
        p->workspace(p, flt::floats_bytes(flt::input(p, 1)) + flt::floats_bytes(flt::input(p, 2)));
        return ORR_OK;
    });
}

// each(kernels, x, y, n, w, b) for every row.
template <class Each>
orr_status run_rows(const orr_run* run, const Each& each) {
    return guard(run->host, [&] {
        const flt::VectorKernels& kernels = flt::vector_kernels(static_cast<const flt::IsaPlan*>(run->data)->isa);
        const orr_tensor &x = *run->inputs[0], &y = *run->outputs[0];
        const int64_t n = x.shape[x.rank - 1];
        if (n == 0) return;
        auto* buffer = static_cast<char*>(run->workspace);
        const float* w = flt::floats(flt::input(run, 1), reinterpret_cast<float*>(buffer));
        const float* b = flt::floats(flt::input(run, 2), reinterpret_cast<float*>(buffer + flt::floats_bytes(flt::input(run, 1))));
        flt::for_rows(run, flt::row_count(x), n, [&](int64_t begin, int64_t end, int) {
            for (int64_t r = begin; r < end; ++r) each(kernels, flt::row(x, r), flt::row(y, r), n, w, b);
        });
    });
}

// The definition: each(x, y) where x(i) reads element i of a row in f64 and y(i, v) writes it.
template <class Each>
orr_status run_rows_reference(const orr_run* run, const Each& each) {
    return guard(run->host, [&] {
        const orr_tensor &x = *run->inputs[0], &y = *run->outputs[0];
        const int64_t n = x.shape[x.rank - 1];
        for (int64_t r = 0; r < flt::row_count(x); ++r) {
            const char* from = static_cast<const char*>(x.data) + flt::row_offset(x, r);
            char* to = static_cast<char*>(y.data) + flt::row_offset(y, r);
            each([&](int64_t i) { return flt::number_at(x.type, from + i * x.stride_bytes[x.rank - 1]); },
                 [&](int64_t i, double v) {
                     const float f = static_cast<float>(v);
                     std::memcpy(to + i * y.stride_bytes[y.rank - 1], &f, 4);
                 },
                 n);
        }
    });
}

}  // namespace orrery::core
